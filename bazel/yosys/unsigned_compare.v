// Techmap: signed comparisons become unsigned ones of operands with inverted sign bits.
//
// Yosys 0.66 maps some signed comparisons wrongly: cmp2lut those with a negative constant, which slang
// writes for every range check of a ascending index (github.com/YosysHQ/yosys/issues/6085, fixed later);
// alumacc is reported to do so when it folds one into an oversized subtraction (6063). What hangs on the
// wrong constant is removed as unused: in LOAD alone that was its buffer.
(* techmap_celltype = "$lt $le $gt $ge" *)
module _80_unsigned_compare (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  parameter _TECHMAP_CELLTYPE_ = "";
  localparam WIDTH = A_WIDTH > B_WIDTH ? A_WIDTH : B_WIDTH;

  (* force_downto *)
  input [A_WIDTH-1:0] A;
  (* force_downto *)
  input [B_WIDTH-1:0] B;
  (* force_downto *)
  output [Y_WIDTH-1:0] Y;

  wire [WIDTH-1:0] a = {{WIDTH{A[A_WIDTH-1]}}, A} ^ {1'b1, {WIDTH-1{1'b0}}};
  wire [WIDTH-1:0] b = {{WIDTH{B[B_WIDTH-1]}}, B} ^ {1'b1, {WIDTH-1{1'b0}}};

  generate
    if (!A_SIGNED || !B_SIGNED) wire _TECHMAP_FAIL_ = 1;
    else if (_TECHMAP_CELLTYPE_ == "$lt") assign Y = a < b;
    else if (_TECHMAP_CELLTYPE_ == "$le") assign Y = a <= b;
    else if (_TECHMAP_CELLTYPE_ == "$gt") assign Y = a > b;
    else assign Y = a >= b;
  endgenerate
endmodule
