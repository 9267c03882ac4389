// The MATRIX engine: sequencer and systolic array. Ports: hw/README.md.
//
// npu_matrix_weights takes instructions and loads weights one pass ahead; npu_matrix_positions
// issues one position a cycle; a pipe of tags as long as the array is deep tells OBUF where the
// sums go. For a position issued in cycle t: IBUF data in t+1, tag at OBUF in t+1+Rows, sums at
// OBUF in t+2+Rows, where done_o is raised if it was the last of its instruction. README.md has the
// timing in full.
`include "npu_macros.svh"

module npu_matrix
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
  import npu_matrix_pkg::*;
(
  input  logic                      clk_i,
  input  logic                      rst_ni,
  input  logic                      clear_i,
  input  logic                      halt_i,

  input  logic                      instr_valid_i,
  output logic                      instr_ready_o,
  input  logic [InstrBits-1:0]      instr_i,
  input  logic [31:0]               instr_index_i,
  output logic                      done_o,
  output logic                      error_valid_o,
  output logic [3:0]                error_code_o,
  output logic [31:0]               error_index_o,
  output logic                      busy_o,
  output logic [1:0]                blocked_o,  // never: MATRIX comes first at every port

  output logic                      mat_ibuf_valid_o,
  output logic [19:0]               mat_ibuf_row_o,
  input  logic [7:0]                mat_ibuf_data_i [Rows],
  output logic                      mat_wbuf_valid_o,
  output logic [19:0]               mat_wbuf_row_o,
  input  logic [7:0]                mat_wbuf_data_i [WbufRowBytes],
  output logic                      mat_obuf_tag_valid_o,
  output logic                      mat_obuf_first_o,
  output logic [19:0]               mat_obuf_row_o,
  output logic signed [AccBits-1:0] mat_obuf_psum_o [Cols]  // one cycle behind the tag
);
  `NPU_ASSERT_STATIC(Widths, ActBits == 8 && (WeightBits == 8 || WeightBits == 4),
                     "npu_matrix: a byte of IBUF is one activation, of WBUF one weight or two")
  `NPU_ASSERT_STATIC(Depth, Rows >= 4 && 2 ** $clog2(Rows) == Rows,
                     "npu_matrix: Rows must be a power of two, at least 4")

  error_e error_code;
  logic   stop;
  assign stop = halt_i || error_valid_o;

  logic                       pass_valid, take;
  pass_t                      pass;
  matrix_t                    pass_instr;
  logic [31:0]                pass_index;
  logic                       load, turn;
  logic [$clog2(Rows)-1:0]    load_row;
  logic                       weight_unsigned;
  logic signed [WeightBits:0] weight_zero;

  npu_matrix_weights u_weights (
    .clk_i,
    .rst_ni,
    .clear_i,
    .stop_i(stop),
    .instr_valid_i,
    .instr_ready_o,
    .instr_i(matrix_t'(instr_i)),
    .instr_index_i,
    .pass_valid_o(pass_valid),
    .pass_o(pass),
    .instr_o(pass_instr),
    .index_o(pass_index),
    .take_i(take),
    .wbuf_valid_o(mat_wbuf_valid_o),
    .wbuf_row_o(mat_wbuf_row_o),
    .load_o(load),
    .turn_o(turn),
    .load_row_o(load_row),
    .weight_unsigned_o(weight_unsigned),
    .weight_zero_o(weight_zero)
  );

  logic                    issue, first, last;
  logic [19:0]             obuf_row;
  logic                    act_unsigned;
  logic signed [ActBits:0] act_zero;
  logic                    swap;
  logic [$clog2(Rows)-1:0] swap_row;

  npu_matrix_positions u_positions (
    .clk_i,
    .rst_ni,
    .clear_i,
    .stop_i(stop),
    .pass_valid_i(pass_valid),
    .pass_i(pass),
    .instr_i(pass_instr),
    .index_i(pass_index),
    .take_o(take),
    .issue_o(issue),
    .ibuf_row_o(mat_ibuf_row_o),
    .obuf_row_o(obuf_row),
    .first_o(first),
    .last_o(last),
    .act_unsigned_o(act_unsigned),
    .act_zero_o(act_zero),
    .swap_o(swap),
    .swap_row_o(swap_row),
    .error_valid_o,
    .error_code_o(error_code),
    .error_index_o
  );

  // Tags on their way, oldest last; drain_q counts the cycles until the last one has left the
  // array.
  typedef struct packed {
    logic        valid;
    logic        first;
    logic        last;
    logic [19:0] row;
  } tag_t;
  localparam int unsigned DrainBits = $clog2(Rows + 2);

  tag_t                 tags [Rows];
  tag_t                 tag_q;
  logic [DrainBits-1:0] drain_q;
  logic                 en;
  assign en = drain_q != '0;

  always_ff @(posedge clk_i) begin : pipe
    automatic int unsigned i;
    if (issue || en) begin
      tag_q <= tags[Rows-1];
      `NPU_IN_PLACE_BEGIN
      `NPU_FOR_DOWN(i, Rows) tags[i] = tags[i-1]; `NPU_END_FOR
      tags[0] = '{valid: issue, first: first, last: last, row: obuf_row};
      `NPU_IN_PLACE_END
      drain_q <= issue ? DrainBits'(Rows + 1) : drain_q - 1'b1;
    end
    done_o <= tag_q.valid && tag_q.last;
    if (!rst_ni || clear_i) begin
      `NPU_IN_PLACE_BEGIN
      `NPU_FOR(i, Rows) tags[i] = '0; `NPU_END_FOR
      `NPU_IN_PLACE_END
      tag_q <= '0;
      drain_q <= '0;
      done_o <= 1'b0;
    end
  end

  npu_array u_array (
    .clk_i,
    .rst_ni,
    .en_i(en),
    .act_i(mat_ibuf_data_i),
    .act_unsigned_i(act_unsigned),
    .act_zero_i(act_zero),
    .load_i(load),
    .turn_i(turn),
    .load_row_i(load_row),
    .weight_i(mat_wbuf_data_i),
    .weight_unsigned_i(weight_unsigned),
    .weight_zero_i(weight_zero),
    .swap_i(swap),
    .swap_row_i(swap_row),
    .psum_o(mat_obuf_psum_o)
  );

  assign mat_ibuf_valid_o = issue;
  assign mat_obuf_tag_valid_o = tag_q.valid;
  assign mat_obuf_first_o = tag_q.first;
  assign mat_obuf_row_o = tag_q.row;
  assign error_code_o = error_code;
  assign busy_o = issue || mat_wbuf_valid_o;
  assign blocked_o = 2'd0;
endmodule
