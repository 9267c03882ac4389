// Stage 1: the operands A = src1 + imm1 and B = src2 + imm2, wrapped to 32 bits.
//
// Read data is on the wires for one cycle only. If the pipe stands still in that cycle, a copy is
// kept here. Where both sources lie in one memory, the data of src1 comes a cycle before that of
// src2 and waits in A.
`include "npu_macros.svh"

module npu_vector_operand
  import npu_vector_pkg::*;
(
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,
  input  logic               stall_i,
  input  logic [1:0]         take_i,   // read data of this cycle, or kept
  input  logic               valid_i,  // the iteration is complete
  input  config_t            config_i [Stages+1],
  input  logic signed [31:0] data_i [2][Lanes],
  output logic signed [31:0] a_o    [Lanes],
  output logic signed [31:0] b_o    [Lanes]
);
  logic               kept_q;
  logic signed [31:0] kept_data_q [2][Lanes];

  always_ff @(posedge clk_i) begin : operand
    automatic int unsigned l;
    automatic logic signed [31:0] a [Lanes];
    automatic logic signed [31:0] b [Lanes];
    automatic logic signed [31:0] imm1, imm2;
    if (!rst_ni || clear_i) begin
      kept_q <= 1'b0;
    end else if (stall_i) begin
      if (take_i != '0 && !kept_q) begin
        kept_q <= 1'b1;
        kept_data_q <= data_i;
      end
    end else if (take_i != '0 || valid_i) begin
      kept_q <= 1'b0;
      imm1 = config_i[1].imm1;
      imm2 = config_i[1].imm2;
      if (take_i[0]) begin
        if (kept_q) begin
          `NPU_FOR(l, Lanes) a[l] = kept_data_q[0][l] + imm1; `NPU_END_FOR
        end else begin
          `NPU_FOR(l, Lanes) a[l] = data_i[0][l] + imm1; `NPU_END_FOR
        end
        a_o <= a;
      end else if (!config_i[1].has_src1) begin
        `NPU_FOR(l, Lanes) a[l] = imm1; `NPU_END_FOR
        a_o <= a;
      end
      if (take_i[1]) begin
        if (kept_q) begin
          `NPU_FOR(l, Lanes) b[l] = kept_data_q[1][l] + imm2; `NPU_END_FOR
        end else begin
          `NPU_FOR(l, Lanes) b[l] = data_i[1][l] + imm2; `NPU_END_FOR
        end
        b_o <= b;
      end else if (!config_i[1].has_src2) begin
        `NPU_FOR(l, Lanes) b[l] = imm2; `NPU_END_FOR
        b_o <= b;
      end
    end
  end
endmodule
