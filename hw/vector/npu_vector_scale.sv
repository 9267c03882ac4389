// Stages 5 to 8: bias and multiplier, product, rounding shift, zero point, clamp.
//
// 64-bit arithmetic that wraps. The addend of SADD waits from stage 3 until the product is there.
`include "npu_macros.svh"

module npu_vector_scale
  import npu_isa_pkg::*;
  import npu_vector_pkg::*;
(
  input  logic               clk_i,
  input  logic               advance_i,
  input  logic [8:3]         valid_i,
  input  config_t            config_i [Stages+1],
  input  logic signed [63:0] v_i      [Lanes],  // in stage 5
  input  logic signed [63:0] addend_i [Lanes],  // in stage 3
  input  logic signed [31:0] bias_i   [Lanes],  // in stage 5
  input  logic signed [31:0] mult_i   [Lanes],  // in stage 5
  output logic signed [31:0] y_o      [2][Lanes]
);
  logic signed [63:0] addend4_q [Lanes];
  logic signed [63:0] addend5_q [Lanes];
  logic signed [63:0] addend6_q [Lanes];
  logic signed [63:0] v_q       [Lanes];  // stage 6
  logic signed [31:0] mult_q    [Lanes];  // stage 6
  logic signed [63:0] product_q [Lanes];  // stage 7
  logic signed [63:0] shifted_q [Lanes];  // stage 8

  always_ff @(posedge clk_i) begin : addend
    if (advance_i) begin
      if (valid_i[3] && config_i[3].op == VectorOpSadd) addend4_q <= addend_i;
      if (valid_i[4] && config_i[4].op == VectorOpSadd) addend5_q <= addend4_q;
      if (valid_i[5] && config_i[5].op == VectorOpSadd) addend6_q <= addend5_q;
    end
  end

  always_ff @(posedge clk_i) begin : bias
    automatic int unsigned l;
    automatic logic signed [63:0] v    [Lanes];
    automatic logic signed [31:0] mult [Lanes];
    automatic logic signed [31:0] mult1, mult2;
    if (advance_i && valid_i[5]) begin
      mult1 = config_i[5].mult1;
      mult2 = config_i[5].mult2;
      if (config_i[5].scale == ScaleModePerLane) begin
        `NPU_FOR(l, Lanes) v[l] = v_i[l] + 64'(bias_i[l]); `NPU_END_FOR
        mult = mult_i;
      end else begin
        v = v_i;
        `NPU_FOR(l, Lanes) mult[l] = mult1; `NPU_END_FOR
      end
      if (config_i[5].op == VectorOpLeaky) begin
        `NPU_FOR(l, Lanes) mult[l] = v[l] < 0 ? mult2 : mult[l]; `NPU_END_FOR
      end
      v_q <= v;
      mult_q <= mult;
    end
  end

  always_ff @(posedge clk_i) begin : multiply
    automatic int unsigned l;
    automatic logic signed [63:0] product [Lanes];
    if (advance_i && valid_i[6]) begin
      if (config_i[6].scale == ScaleModeOff) begin
        product = v_q;
      end else begin
        `NPU_FOR(l, Lanes) product[l] = v_q[l] * 64'(mult_q[l]); `NPU_END_FOR
      end
      if (config_i[6].op == VectorOpSadd) begin
        `NPU_FOR(l, Lanes) product[l] = product[l] + addend6_q[l]; `NPU_END_FOR
      end
      product_q <= product;
    end
  end

  always_ff @(posedge clk_i) begin : shift
    automatic int unsigned l;
    automatic logic signed [63:0] shifted [Lanes];
    automatic logic [5:0]         amount;
    automatic logic signed [63:0] floor, remainder, below, half;
    if (advance_i && valid_i[7]) begin
      amount = config_i[7].shift;
      if (config_i[7].scale == ScaleModeOff || amount == '0) begin
        shifted = product_q;
      end else begin
        below = (64'sd1 <<< amount) - 64'sd1;
        half  = 64'sd1 <<< (amount - 6'd1);
        // Up from above the half, and from the half itself if that makes the result even. All
        // terms are signed: one unsigned among them would make the shift logical.
        `NPU_FOR(l, Lanes)
          floor = product_q[l] >>> amount;
          remainder = product_q[l] & below;
          shifted[l] = floor + (remainder > half - (floor & 64'sd1) ? 64'sd1 : 64'sd0);
        `NPU_END_FOR
      end
      shifted_q <= shifted;
    end
  end

  always_ff @(posedge clk_i) begin : saturate
    automatic int unsigned l;
    automatic logic signed [63:0] y  [Lanes];
    automatic logic signed [31:0] y1 [Lanes];
    automatic logic signed [31:0] y2 [Lanes];
    automatic logic signed [63:0] zero_point, lo, hi, raised;
    if (advance_i && valid_i[8]) begin
      zero_point = 64'(config_i[8].zero_point);
      `NPU_FOR(l, Lanes) y[l] = shifted_q[l] + zero_point; `NPU_END_FOR
      lo = 64'(config_i[8].lo);
      hi = 64'(config_i[8].hi);
      `NPU_FOR(l, Lanes)
        raised = y[l] < lo ? lo : y[l];
        y1[l] = raised > hi ? 32'(hi) : 32'(raised);
      `NPU_END_FOR
      y_o[0] <= y1;
      if (config_i[8].has_dst2) begin
        lo = 64'(config_i[8].lo2);
        hi = 64'(config_i[8].hi2);
        `NPU_FOR(l, Lanes)
          raised = y[l] < lo ? lo : y[l];
          y2[l] = raised > hi ? 32'(hi) : 32'(raised);
        `NPU_END_FOR
        y_o[1] <= y2;
      end
    end
  end
endmodule
