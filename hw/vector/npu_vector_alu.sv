// Stage 2: t = op(A, B) on 64 bits, the second product of SADD, and the lanes that will be written.
//
// A new operation is a line in the case; one that needs more than a cycle gets a unit of its own
// beside this one, like the transposer.
`include "npu_macros.svh"

module npu_vector_alu
  import npu_isa_pkg::*;
  import npu_vector_pkg::*;
(
  input  logic               clk_i,
  input  logic               enable_i,
  input  config_t            config_i [Stages+1],
  input  tag_t               tag_i    [Stages+1],
  input  logic signed [31:0] a_i      [Lanes],
  input  logic signed [31:0] b_i      [Lanes],
  output logic signed [63:0] t_o      [Lanes],
  output logic signed [63:0] addend_o [Lanes],  // B * mult2; only with SADD
  output logic [Lanes-1:0]   mask_o
);
  always_ff @(posedge clk_i) begin : operate
    automatic int unsigned l;
    automatic logic signed [63:0] t      [Lanes];
    automatic logic signed [63:0] addend [Lanes];
    automatic logic signed [31:0] mult2;
    automatic logic signed [63:0] identity;
    automatic logic [7:0]         tail_lanes;
    automatic logic               reduces;
    automatic logic [Lanes-1:0]   mask;
    if (enable_i) begin
      unique case (config_i[2].op)
        VectorOpAdd: `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l]) + 64'(b_i[l]); `NPU_END_FOR
        VectorOpSub: `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l]) - 64'(b_i[l]); `NPU_END_FOR
        VectorOpMul: `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l]) * 64'(b_i[l]); `NPU_END_FOR
        VectorOpMin:
          `NPU_FOR(l, Lanes) t[l] = a_i[l] < b_i[l] ? 64'(a_i[l]) : 64'(b_i[l]); `NPU_END_FOR
        VectorOpMax:
          `NPU_FOR(l, Lanes) t[l] = a_i[l] > b_i[l] ? 64'(a_i[l]) : 64'(b_i[l]); `NPU_END_FOR
        VectorOpShl:
          `NPU_FOR(l, Lanes) t[l] = 64'($signed(a_i[l] << b_i[l][4:0])); `NPU_END_FOR
        VectorOpShr:
          `NPU_FOR(l, Lanes) t[l] = 64'($signed(a_i[l] >>> b_i[l][4:0])); `NPU_END_FOR
        VectorOpShrl:
          `NPU_FOR(l, Lanes) t[l] = 64'($signed(a_i[l] >> b_i[l][4:0])); `NPU_END_FOR
        VectorOpAnd: `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l] & b_i[l]); `NPU_END_FOR
        VectorOpOr: `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l] | b_i[l]); `NPU_END_FOR
        VectorOpXor: `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l] ^ b_i[l]); `NPU_END_FOR
        VectorOpNot: `NPU_FOR(l, Lanes) t[l] = 64'(~a_i[l]); `NPU_END_FOR
        VectorOpEq: `NPU_FOR(l, Lanes) t[l] = a_i[l] == b_i[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
        VectorOpNe: `NPU_FOR(l, Lanes) t[l] = a_i[l] != b_i[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
        VectorOpLt: `NPU_FOR(l, Lanes) t[l] = a_i[l] < b_i[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
        VectorOpLe: `NPU_FOR(l, Lanes) t[l] = a_i[l] <= b_i[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
        VectorOpGt: `NPU_FOR(l, Lanes) t[l] = a_i[l] > b_i[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
        VectorOpGe: `NPU_FOR(l, Lanes) t[l] = a_i[l] >= b_i[l] ? 64'sd1 : 64'sd0; `NPU_END_FOR
        VectorOpRelu: `NPU_FOR(l, Lanes) t[l] = a_i[l] > 0 ? 64'(a_i[l]) : 64'sd0; `NPU_END_FOR
        default:  // MOVE, and what differs from it elsewhere: SELECT, SADD, LEAKY
          `NPU_FOR(l, Lanes) t[l] = 64'(a_i[l]); `NPU_END_FOR
      endcase

      if (config_i[2].op == VectorOpSadd) begin
        // One multiplier a lane does for this and for MUL.
        mult2 = config_i[2].mult2;
        `NPU_FOR(l, Lanes) addend[l] = 64'(b_i[l]) * 64'(mult2); `NPU_END_FOR
        addend_o <= addend;
      end

      mask = '1;
      tail_lanes = config_i[2].tail_lanes;
      if (tag_i[2].tail && tail_lanes != 8'(Lanes)) begin
        reduces = config_i[2].reduce_loops || config_i[2].reduce_lanes;
        if (reduces) begin
          unique case (config_i[2].reduce)
            ReduceOpMaximum: identity = 64'sh8000_0000_0000_0000;
            ReduceOpMinimum: identity = 64'sh7fff_ffff_ffff_ffff;
            default: identity = 64'sd0;
          endcase
          `NPU_FOR(l, Lanes) t[l] = l < 32'(tail_lanes) ? t[l] : identity; `NPU_END_FOR
        end else begin
          mask = ~(mask << tail_lanes);
        end
      end
      if (config_i[2].op == VectorOpSelect) begin
        `NPU_FOR(l, Lanes) mask[l] = mask[l] && b_i[l] != 0; `NPU_END_FOR
      end
      t_o <= t;
      mask_o <= mask;
    end
  end
endmodule
