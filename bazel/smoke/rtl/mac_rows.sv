// Rows independent multiply-accumulators: package, header, unpacked ports, rolled loop and assertion,
// as in the real array, small enough to build in a second.
`include "mac_macros.svh"

module mac_rows
  import mac_pkg::*;
#(
  parameter int unsigned Rows = 4
) (
  input  logic clk_i,
  input  logic rst_ni,
  input  logic en_i,
  input  act_t a_i  [Rows],
  input  act_t b_i  [Rows],
  output sum_t sum_o[Rows]
);
  sum_t sum_q[Rows];

  always_ff @(posedge clk_i or negedge rst_ni) begin : accumulate
    automatic int unsigned r;
    automatic sum_t sum_d[Rows];
    if (!rst_ni) begin
      `MAC_FOR(r, Rows) sum_d[r] = '0; end
      sum_q <= sum_d;
    end else if (en_i) begin
      `MAC_FOR(r, Rows) sum_d[r] = sum_q[r] + 32'(a_i[r]) * 32'(b_i[r]); end
      sum_q <= sum_d;
    end
  end

  assign sum_o = sum_q;

  // The most negative input has no negation; the test provokes this one.
  NoMinimum : assert property (@(posedge clk_i) en_i |-> a_i[0] != -8'sd128);
endmodule
