// The activation side of the MATRIX sequencer: the positions of a pass, one a cycle.
//
// Starts a pass that the weight side offers when the pass before has issued its last position and
// is at least Rows cycles old; the decision falls in the cycle before the first position, so passes
// follow each other without a bubble. For each position: a read of IBUF and a tag for OBUF. Every
// row is checked in the cycle of its access, so no product of counts and strides is ever needed.
`include "npu_macros.svh"

module npu_matrix_positions
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
  import npu_matrix_pkg::*;
(
  input  logic                    clk_i,
  input  logic                    rst_ni,
  input  logic                    clear_i,
  input  logic                    stop_i,

  input  logic                    pass_valid_i,
  input  pass_t                   pass_i,
  /*verilator lint_off UNUSEDSIGNAL*/  // padding, and the fields of the weight side
  input  matrix_t                 instr_i,
  /*verilator lint_on UNUSEDSIGNAL*/
  input  logic [31:0]             index_i,
  output logic                    take_o,

  output logic                    issue_o,   // a position this cycle; IBUF's data come in the next
  output logic [19:0]             ibuf_row_o,
  output logic [19:0]             obuf_row_o,
  output logic                    first_o,   // overwrites OBUF
  output logic                    last_o,    // last position of an instruction

  output logic                    act_unsigned_o,  // of the data that come this cycle
  output logic signed [ActBits:0] act_zero_o,

  output logic                    swap_o,  // the wave that meets new weights, row by row
  output logic [$clog2(Rows)-1:0] swap_row_o,

  output logic                    error_valid_o,  // sticky
  output error_e                  error_code_o,
  output logic [31:0]             error_index_o
);
  localparam int unsigned RowBits = $clog2(Rows);
  // Every address is a checked row plus one stride.
  localparam int unsigned AddrBits = 26;
  typedef logic signed [AddrBits-1:0] addr_t;

  logic               run_q;    // positions are left
  logic               start_q;  // this is the first cycle of a pass
  logic [RowBits-1:0] slot_q;   // cycles since the start of the pass, up to Rows - 1
  logic [31:0]        index_q;
  logic               last_pass_q;
  addr_t              addr_q, y_base_q, kx_base_q, ky_base_q, c_base_q;
  logic [15:0]        x_left_q, y_left_q, n_x_q, n_y_q;
  logic signed [23:0] s_x_q, s_y_q, s_kx_q, s_ky_q, s_c_q;
  logic [19:0]        obuf_q, obuf_row_q;
  logic               first_q, act_unsigned_q;
  logic signed [ActBits:0] act_zero_q;

  logic in_range, pass_end, start, reuse;
  always_comb begin
    in_range = unsigned'(addr_q) < AddrBits'(IbufRows) && obuf_row_q < 20'(ObufRows);
    issue_o = run_q && in_range && !stop_i;
    pass_end = x_left_q == 16'd1 && y_left_q == 16'd1;
    // An instruction that accumulates onto the very row that the one before has just issued would
    // read the row while it is written: it waits one cycle.
    reuse = run_q && pass_i.step == StepFirst && instr_i.accumulate && instr_i.obuf == obuf_row_q;
    start = pass_valid_i && !stop_i && (!run_q || (in_range && pass_end)) &&
            slot_q == RowBits'(Rows - 1) && !reuse;
    take_o = start && pass_i.error == ErrorOk;
  end

  assign ibuf_row_o = addr_q[19:0];
  assign obuf_row_o = obuf_row_q;
  assign first_o = first_q;
  assign last_o = pass_end && last_pass_q;

  always_ff @(posedge clk_i) begin : advance
    automatic addr_t base;
    if (run_q) begin
      act_unsigned_o <= act_unsigned_q;
      act_zero_o <= act_zero_q;
      obuf_row_q <= obuf_row_q + 20'd1;
      if (x_left_q != 16'd1) begin
        x_left_q <= x_left_q - 16'd1;
        addr_q <= addr_q + addr_t'(s_x_q);
      end else begin
        x_left_q <= n_x_q;
        y_left_q <= y_left_q - 16'd1;
        addr_q <= y_base_q + addr_t'(s_y_q);
        y_base_q <= y_base_q + addr_t'(s_y_q);
        if (y_left_q == 16'd1) run_q <= 1'b0;
      end
      if (!in_range && !stop_i) begin
        error_valid_o <= 1'b1;
        error_code_o <= ErrorLocalRange;
        error_index_o <= index_q;
      end
    end
    if (slot_q != RowBits'(Rows - 1)) slot_q <= slot_q + 1'b1;

    start_q <= take_o;
    if (start_q || swap_o) begin
      swap_o <= start_q || swap_row_o != RowBits'(Rows - 1);
      swap_row_o <= start_q ? '0 : swap_row_o + 1'b1;
    end

    if (take_o) begin
      run_q <= 1'b1;
      slot_q <= '0;
      last_pass_q <= pass_i.last;
      first_q <= 1'b0;
      unique case (pass_i.step)
        StepFirst: begin
          base = addr_t'(instr_i.ibuf);
          index_q <= index_i;
          first_q <= !instr_i.accumulate;
          n_x_q <= instr_i.n_x;
          n_y_q <= instr_i.n_y;
          s_x_q <= instr_i.s_x;
          s_y_q <= instr_i.s_y;
          s_kx_q <= instr_i.s_kx;
          s_ky_q <= instr_i.s_ky;
          s_c_q <= instr_i.s_c;
          obuf_q <= instr_i.obuf;
          act_unsigned_q <= instr_i.act_unsigned;
          act_zero_q <= instr_i.act_zero[ActBits:0];
        end
        StepKx: base = kx_base_q + addr_t'(s_kx_q);
        StepKy: base = ky_base_q + addr_t'(s_ky_q);
        default: base = c_base_q + addr_t'(s_c_q);
      endcase
      kx_base_q <= base;
      if (pass_i.step != StepKx) ky_base_q <= base;
      if (pass_i.step == StepC || pass_i.step == StepFirst) c_base_q <= base;
      y_base_q <= base;
      addr_q <= base;
      obuf_row_q <= pass_i.step == StepFirst ? instr_i.obuf : obuf_q;
      x_left_q <= pass_i.step == StepFirst ? instr_i.n_x : n_x_q;
      y_left_q <= pass_i.step == StepFirst ? instr_i.n_y : n_y_q;
    end else if (start) begin
      error_valid_o <= 1'b1;
      error_code_o <= pass_i.error;
      error_index_o <= index_i;
    end

    if (!rst_ni || clear_i || stop_i) begin
      run_q <= 1'b0;
      start_q <= 1'b0;
      slot_q <= RowBits'(Rows - 1);
    end
    if (!rst_ni || clear_i) begin
      swap_o <= 1'b0;
      error_valid_o <= 1'b0;
    end
  end

  `NPU_ASSERT(OneWave, !(start_q && swap_o) || swap_row_o == RowBits'(Rows - 1),
              "npu_matrix_positions: a swap wave starts before the one before it has passed")
endmodule
