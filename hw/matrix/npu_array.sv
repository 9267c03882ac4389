// The weight-stationary systolic array: Rows x Cols multipliers, each with an active and a shadow
// weight.
//
// In: one activation row and one weight row a cycle, raw bytes and zero points. Out: one row of
// sums. An activation row given in cycle n (act_i) is multiplied by row r in cycle n+1+r,
// everywhere along the row at once; sums move down one row a cycle, so psum_o holds its result in
// cycle n+1+Rows. Row r of the shadow weights is written by load_i; swap_i makes the shadow of
// swap_row_i active for the cycles after. A wave of activations thus meets new weights if row r is
// swapped in cycle n+r.
//
// A weight row that is a column of the weights (turn_i with load_i; Rows == Cols only) goes in
// sideways: its element r takes the place of the last column of row r, r cycles later, and the row
// moves on by one column. So row r is complete r cycles after the last of Rows weight rows, and a
// wave that swaps row 0 one cycle after that load, row r r cycles later, finds what it needs; so does
// the next tile behind it.
//
// Why activations are broadcast along a row: docs/decisions/row-broadcast.md.
`include "npu_macros.svh"

module npu_array
  import npu_arch_pkg::*;
(
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       en_i,  // a wave is in flight: sums and activations advance

  input  logic [ActBits-1:0]         act_i [Rows],
  input  logic                       act_unsigned_i,
  input  logic signed [ActBits:0]    act_zero_i,

  input  logic                       load_i,
  input  logic                       turn_i,
  input  logic [$clog2(Rows)-1:0]    load_row_i,
  input  logic [7:0]                 weight_i [WbufRowBytes],
  input  logic                       weight_unsigned_i,
  input  logic signed [WeightBits:0] weight_zero_i,

  input  logic                       swap_i,
  input  logic [$clog2(Rows)-1:0]    swap_row_i,

  output logic signed [AccBits-1:0]  psum_o [Cols]
);
  // A value less its zero point has one bit more than the value; that the difference fits is the
  // compiler's duty. In simulation the active weights are kept sign-extended, which saves an
  // extension per multiplier (README.md has the numbers); the values are the same.
  localparam int unsigned ActDiffBits = ActBits + 1;
  localparam int unsigned WeightDiffBits = WeightBits + 1;
`ifdef NPU_FAST_MODEL
  localparam int unsigned ActiveBits = AccBits;
`else
  localparam int unsigned ActiveBits = WeightDiffBits;
`endif

  // skew[d][r]: activation for row r, given d+1 cycles ago; row r multiplies skew[r][r].
  logic signed [ActDiffBits-1:0]    skew   [Rows][Rows];
  logic signed [ActiveBits-1:0]     active [Rows][Cols];
  logic signed [WeightDiffBits-1:0] shadow [Rows][Cols];
  logic signed [AccBits-1:0]        psum   [Rows][Cols];  // the last row is psum_o

  // turned[d][r]: element for row r, given d cycles ago; row r takes turned[r][r] if shift_q[r].
  logic signed [WeightDiffBits-1:0] turned [Rows][Rows];
  logic [Rows-1:0]                  shift_q;

  // Weights in a byte of a row; column c is part c % PerByte of byte c / PerByte.
  localparam int unsigned PerByte = 8 / WeightBits;

  // Scratch, written before it is read. Static: an automatic array is cleared at every edge.
  logic signed [AccBits-1:0] last [Cols];

  always_ff @(posedge clk_i) begin : advance
    automatic int unsigned r, c;
    `NPU_IN_PLACE_BEGIN
    if (en_i) begin
      // From the bottom up, so that every row still sees its upper neighbour's old sums.
      `NPU_FOR(c, Cols)
        last[c] = psum[Rows-2][c] + AccBits'(skew[Rows-1][Rows-1]) * AccBits'(active[Rows-1][c]);
      `NPU_END_FOR
      psum_o <= last;
      `NPU_FOR_DOWN(r, Rows - 1)
        `NPU_FOR(c, Cols)
          psum[r][c] = psum[r-1][c] + AccBits'(skew[r][r]) * AccBits'(active[r][c]);
        `NPU_END_FOR
      `NPU_END_FOR
      `NPU_FOR(c, Cols)
        psum[0][c] = AccBits'(skew[0][0]) * AccBits'(active[0][c]);
      `NPU_END_FOR
      `NPU_FOR_DOWN(r, Rows)
        `NPU_FOR(c, Rows) skew[r][c] = skew[r-1][c]; `NPU_END_FOR
      `NPU_END_FOR
      if (act_unsigned_i) begin
        `NPU_FOR(r, Rows) skew[0][r] = ActDiffBits'(act_i[r]) - act_zero_i; `NPU_END_FOR
      end else begin
        `NPU_FOR(r, Rows)
          skew[0][r] = ActDiffBits'(signed'(act_i[r])) - act_zero_i;
        `NPU_END_FOR
      end
    end
    if (swap_i) begin
      `NPU_FOR_ONLY(r, Rows, swap_row_i)
        `NPU_FOR(c, Cols) active[r][c] = ActiveBits'(shadow[r][c]); `NPU_END_FOR
      `NPU_END_FOR
    end
    if ((load_i && turn_i) || shift_q != '0) begin
      `NPU_FOR_DOWN(r, Rows)
        `NPU_FOR(c, Rows) turned[r][c] = turned[r-1][c]; `NPU_END_FOR
      `NPU_END_FOR
      if (weight_unsigned_i) begin
        `NPU_FOR(r, Rows)
          turned[0][r] = WeightDiffBits'(
              WeightBits'(weight_i[r%Cols/PerByte] >> (r%PerByte*WeightBits))) - weight_zero_i;
        `NPU_END_FOR
      end else begin
        `NPU_FOR(r, Rows)
          turned[0][r] = WeightDiffBits'(signed'(
              WeightBits'(weight_i[r%Cols/PerByte] >> (r%PerByte*WeightBits)))) - weight_zero_i;
        `NPU_END_FOR
      end
      shift_q = {shift_q[Rows-2:0], load_i && turn_i};
      `NPU_FOR(r, Rows)
        if (shift_q[r]) begin
          `NPU_FOR(c, Cols - 1) shadow[r][c] = shadow[r][c+1]; `NPU_END_FOR
          shadow[r][Cols-1] = turned[r][r];
        end
      `NPU_END_FOR
    end
    if (!rst_ni) shift_q = '0;
    if (load_i && !turn_i) begin
      `NPU_FOR_ONLY(r, Rows, load_row_i)
        if (weight_unsigned_i) begin
          `NPU_FOR(c, Cols)
            shadow[r][c] = WeightDiffBits'(
                WeightBits'(weight_i[c/PerByte] >> (c%PerByte*WeightBits))) - weight_zero_i;
          `NPU_END_FOR
        end else begin
          `NPU_FOR(c, Cols)
            shadow[r][c] = WeightDiffBits'(signed'(
                WeightBits'(weight_i[c/PerByte] >> (c%PerByte*WeightBits)))) - weight_zero_i;
          `NPU_END_FOR
        end
      `NPU_END_FOR
    end
    `NPU_IN_PLACE_END
  end
endmodule
