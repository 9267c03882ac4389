// The vector engine: streams operands from the memories under four hardware loops, one vector of
// lanes a cycle. Semantics: docs/machine.md, VECTOR; the stages: npu_vector_pkg.
//
// This file holds the pipe's control: which stage is occupied by what, the hazards between
// instructions, the write port. The walk of the loops and each stage's data have files of their own.
`include "npu_macros.svh"

module npu_vector
  import npu_isa_pkg::*;
  import npu_vector_pkg::*;
(
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 halt_i,

  input  logic                 instr_valid_i,
  output logic                 instr_ready_o,
  input  logic [InstrBits-1:0] instr_i,
  input  logic [31:0]          instr_index_i,
  output logic                 done_o,
  output logic                 error_valid_o,
  output logic [3:0]           error_code_o,
  output logic [31:0]          error_index_o,
  output logic                 busy_o,
  output logic [1:0]           blocked_o,

  output logic [1:0]           vec_rd_valid_o,
  input  logic                 vec_rd_ready_i,
  output buffer_e              vec_rd_buffer_o [2],
  output logic [23:0]          vec_rd_addr_o   [2],
  output dtype_e               vec_rd_dtype_o  [2],
  input  logic signed [31:0]   vec_rd_data_i   [2][Lanes],

  output logic                 vec_param_valid_o,
  output logic [15:0]          vec_param_row_o,
  input  logic signed [31:0]   vec_param_bias_i [Lanes],
  input  logic signed [31:0]   vec_param_mult_i [Lanes],

  output logic                 vec_table_valid_o,
  output logic [11:0]          vec_table_entry_o [Lanes],
  input  logic [31:0]          vec_table_data_i [Lanes],  // held until the next read

  output logic [1:0]           vec_wr_valid_o,
  input  logic                 vec_wr_ready_i,
  output buffer_e              vec_wr_buffer_o [2],
  output logic [23:0]          vec_wr_addr_o   [2],
  output dtype_e               vec_wr_dtype_o  [2],
  output logic signed [31:0]   vec_wr_data_o   [2][Lanes],
  output logic [Lanes-1:0]     vec_wr_mask_o
);
  localparam logic [1:0] BlockedNone = 2'd0;
  localparam logic [1:0] BlockedPort = 2'd2;

  // Index s: the iteration in front of stage s; [0] is not used.
  logic [Stages:1]    valid_q;
  logic [Stages:1]    older_q;  // of an instruction before the one that is issued now
  logic [1:0]         take_q;   // stage 1: operands that arrive
  tag_t               tag_q    [Stages+1];
  target_t            target_q [Stages+1];

  logic               stall, hazard, drained;
  logic [1:0]         take;
  logic               active, accept, issue, refused;
  config_t            issue_config;
  tag_t               issue_tag;
  target_t            issue_target;

  npu_vector_issue u_issue (
    .clk_i, .rst_ni, .clear_i, .halt_i,
    .instr_valid_i, .instr_ready_o, .instr_i(vector_t'(instr_i)), .instr_index_i,
    .error_valid_o, .error_code_o, .error_index_o,
    .stall_i(stall), .drained_i(drained), .hazard_i(hazard),
    .rd_valid_o(vec_rd_valid_o), .rd_ready_i(vec_rd_ready_i), .rd_buffer_o(vec_rd_buffer_o),
    .rd_addr_o(vec_rd_addr_o), .rd_dtype_o(vec_rd_dtype_o),
    .active_o(active), .accept_o(accept), .take_o(take), .issue_o(issue),
    .config_o(issue_config), .tag_o(issue_tag), .target_o(issue_target), .refused_o(refused)
  );

  // The write port: both destinations at once, or one after the other if they share a memory.
  logic second_write_q;
  logic split_write, written;
  assign split_write = target_q[Stages].has_dst2 && target_q[Stages].dst2_in_ibuf == target_q[Stages].dst_in_ibuf;
  assign vec_wr_valid_o = !valid_q[Stages] ? 2'b00
      : split_write ? {second_write_q, !second_write_q} : {target_q[Stages].has_dst2, 1'b1};
  assign written = valid_q[Stages] && vec_wr_ready_i && (!split_write || second_write_q);
  assign stall = valid_q[Stages] && !written;
  assign vec_wr_buffer_o[0] = target_q[Stages].dst_in_ibuf ? BufferIbuf : BufferVmem;
  assign vec_wr_buffer_o[1] = target_q[Stages].dst2_in_ibuf ? BufferIbuf : BufferVmem;
  assign vec_wr_dtype_o[0] = target_q[Stages].dst_dtype;
  assign vec_wr_dtype_o[1] = target_q[Stages].dst2_dtype;
  assign vec_wr_addr_o[0] = target_q[Stages].dst;
  assign vec_wr_addr_o[1] = target_q[Stages].dst2;

  // PARAM is read for the iteration that is in stage 5 in the next cycle.
  assign vec_param_valid_o = stall ? valid_q[5] && tag_q[5].per_lane
      : valid_q[4] && tag_q[4].per_lane;
  assign vec_param_row_o = stall ? tag_q[5].param_row : tag_q[4].param_row;

  assign vec_table_valid_o = valid_q[9] && tag_q[9].table_ && !stall;

  // Stage 3 gets an iteration from the ALU's stage or from the transposer.
  logic    to_turn, turned_valid, transposer_busy, columns;
  logic [IndexBits-1:0] index;
  tag_t    turned_tag;
  target_t turned_target;
  assign to_turn = valid_q[2] && tag_q[2].transpose;
  assign drained = valid_q == '0 && !transposer_busy;

  // A read waits for the writes of older instructions to the same line. Within one instruction the
  // program promises that there is none. What is in the transposer waits as a whole (u_issue).
  always_comb begin : find_hazard
    automatic int unsigned s, i;
    hazard = 1'b0;
    if (active && (valid_q & older_q) != '0) begin
      for (s = 1; s <= Stages; s++) begin
        for (i = 0; i < 2; i++) begin
          if (valid_q[s] && older_q[s]
              && vec_rd_buffer_o[i] inside {BufferIbuf, BufferVmem}
              && ((target_q[s].dst_in_ibuf == (vec_rd_buffer_o[i] == BufferIbuf)
                   && target_q[s].dst[23:LineLsb] == vec_rd_addr_o[i][23:LineLsb])
                  || (target_q[s].has_dst2
                      && target_q[s].dst2_in_ibuf == (vec_rd_buffer_o[i] == BufferIbuf)
                      && target_q[s].dst2[23:LineLsb] == vec_rd_addr_o[i][23:LineLsb]))) begin
            hazard = 1'b1;
          end
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin : advance
    if (!rst_ni || clear_i) begin
      valid_q <= '0;
      take_q  <= '0;
      done_o  <= 1'b0;
      second_write_q <= 1'b0;
    end else begin
      done_o <= written && tag_q[Stages].done;
      if (valid_q[Stages] && vec_wr_ready_i) second_write_q <= split_write && !second_write_q;
      if (accept) older_q <= '1;
      else if (!stall) older_q <= {older_q[Stages-1:1], 1'b0};

      if (!stall && (issue || take != '0 || take_q != '0 || !drained)) begin
        valid_q[2:1] <= {valid_q[1], issue};
        valid_q[3] <= (valid_q[2] && !tag_q[2].transpose) || turned_valid;
        valid_q[4] <= valid_q[3] && tag_q[3].last;
        valid_q[Stages:5] <= valid_q[Stages-1:4];
        take_q <= take;
        tag_q[1] <= issue_tag;
        tag_q[2] <= tag_q[1];
        tag_q[3] <= turned_valid ? turned_tag : tag_q[2];
        tag_q[4:Stages] <= tag_q[3:Stages-1];
        target_q[1] <= issue_target;
        target_q[2] <= target_q[1];
        target_q[3] <= turned_valid ? turned_target : target_q[2];
        target_q[4:Stages] <= target_q[3:Stages-1];
      end
    end
  end

  npu_vector_transpose u_transpose (
    .clk_i, .rst_ni, .clear_i, .stall_i(stall), .valid_i(to_turn),
    .tag_i(tag_q[2]), .target_i(target_q[2]), .busy_o(transposer_busy),
    .columns_o(columns), .index_o(index),
    .valid_o(turned_valid), .tag_o(turned_tag), .target_o(turned_target)
  );
  npu_vector_lanes u_lanes (
    .clk_i, .rst_ni, .clear_i, .stall_i(stall), .take_i(take_q), .valid_i(valid_q[Stages-1:1]),
    .tag_i(tag_q), .enter_i((issue || take != '0) && issue_tag.start), .config_i(issue_config),
    .turned_i(turned_valid), .columns_i(columns), .index_i(index),
    .data_i(vec_rd_data_i), .bias_i(vec_param_bias_i), .mult_i(vec_param_mult_i),
    .table_entry_o(vec_table_entry_o), .table_data_i(vec_table_data_i),
    .data_o(vec_wr_data_o), .mask_o(vec_wr_mask_o)
  );

  assign busy_o = issue || take != '0 || (valid_q[Stages] && vec_wr_ready_i && stall);
  assign blocked_o = refused || (valid_q[Stages] && !vec_wr_ready_i) ? BlockedPort : BlockedNone;

  `NPU_ASSERT(one_way_into_stage_3, !turned_valid || !valid_q[2] || to_turn,
              "a transposed vector leaves while another instruction is in stage 2")
endmodule
