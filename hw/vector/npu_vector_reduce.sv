// Stages 3 and 4: reduction along the innermost loops, then across the lanes.
`include "npu_macros.svh"

module npu_vector_reduce
  import npu_isa_pkg::*;
  import npu_vector_pkg::*;
(
  input  logic               clk_i,
  input  logic               advance_i,
  input  logic [4:3]         valid_i,
  input  config_t            config_i [Stages+1],
  input  tag_t               tag_i    [Stages+1],
  input  logic signed [63:0] t_i      [Lanes],
  input  logic signed [31:0] turned_i [Lanes],  // of the transposer
  output logic signed [63:0] v_o      [Lanes]   // in stage 5
);
  logic signed [63:0] sum_q [Lanes];  // stage 4; the accumulator while a group lasts

  always_ff @(posedge clk_i) begin : accumulate
    automatic int unsigned l;
    automatic logic signed [63:0] sum [Lanes];
    if (advance_i && valid_i[3]) begin
      if (config_i[3].op == VectorOpTranspose) begin
        `NPU_FOR(l, Lanes) sum[l] = 64'(turned_i[l]); `NPU_END_FOR
        sum_q <= sum;
      end else if (tag_i[3].first) begin
        sum_q <= t_i;
      end else begin
        unique case (config_i[3].reduce)
          ReduceOpMaximum:
            `NPU_FOR(l, Lanes) sum[l] = sum_q[l] > t_i[l] ? sum_q[l] : t_i[l]; `NPU_END_FOR
          ReduceOpMinimum:
            `NPU_FOR(l, Lanes) sum[l] = sum_q[l] < t_i[l] ? sum_q[l] : t_i[l]; `NPU_END_FOR
          default: `NPU_FOR(l, Lanes) sum[l] = sum_q[l] + t_i[l]; `NPU_END_FOR
        endcase
        sum_q <= sum;
      end
    end
  end

  // A tree: in each round the lower half takes in the upper half.
  always_ff @(posedge clk_i) begin : lanes
    automatic int unsigned l, half;
    automatic logic signed [63:0] v [Lanes];
    if (advance_i && valid_i[4]) begin
      if (config_i[4].reduce_lanes) begin
        v = sum_q;
        for (half = Lanes / 2; half > 0; half = half / 2) begin
          unique case (config_i[4].reduce)
            ReduceOpMaximum:
              `NPU_FOR(l, half) v[l] = v[l] > v[l+half] ? v[l] : v[l+half]; `NPU_END_FOR
            ReduceOpMinimum:
              `NPU_FOR(l, half) v[l] = v[l] < v[l+half] ? v[l] : v[l+half]; `NPU_END_FOR
            default: `NPU_FOR(l, half) v[l] = v[l] + v[l+half]; `NPU_END_FOR
          endcase
        end
        `NPU_FOR(l, Lanes) v[l] = v[0]; `NPU_END_FOR
        v_o <= v;
      end else begin
        v_o <= sum_q;
      end
    end
  end
endmodule
