// The weight side of the MATRIX sequencer: takes instructions and runs one pass ahead of the
// activations.
//
// Holds one instruction. Reads the Rows weight rows of a pass from WBUF, one a cycle, into the
// shadow weights; offers the pass to the activation side from the cycle of the first row on
// (pass_valid_o); and begins the next pass when the rows are read and the activation side has taken
// the pass (take_i). Row r is written behind the wave that swaps row r, so reading may start with
// the pass before: a pass of T <= Rows positions costs Rows cycles. A transposed tile is offered
// with its last row: the first of them after others starts up to Rows - 1 cycles later.
`include "npu_macros.svh"

module npu_matrix_weights
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
  import npu_matrix_pkg::*;
(
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       clear_i,
  input  logic                       stop_i,  // start and read nothing more

  input  logic                       instr_valid_i,
  output logic                       instr_ready_o,
  input  matrix_t                    instr_i,
  input  logic [31:0]                instr_index_i,

  output logic                       pass_valid_o,
  output pass_t                      pass_o,
  output matrix_t                    instr_o,  // that the pass belongs to
  output logic [31:0]                index_o,
  input  logic                       take_i,

  output logic                       wbuf_valid_o,
  output logic [19:0]                wbuf_row_o,

  output logic                       load_o,  // the row read in the last cycle goes into the array
  output logic                       turn_o,  // as a column
  output logic [$clog2(Rows)-1:0]    load_row_o,
  output logic                       weight_unsigned_o,
  output logic signed [WeightBits:0] weight_zero_o
);
  localparam int unsigned RowBits = $clog2(Rows);

  logic               valid_q;
  matrix_t            instr_q;
  logic [31:0]        index_q;
  logic               illegal_q;
  step_e              step_q;
  logic [7:0]         kx_left_q, ky_left_q;
  logic [15:0]        c_left_q;
  logic [20:0]        base_q;  // WBUF row of the pass's first row; one bit more than a row needs
  logic [RowBits-1:0] row_q;
  logic               read_q;   // all rows have been read
  logic               taken_q;  // the activation side has it

  logic last, bad, reading, finished, ready;
  always_comb begin
    last = kx_left_q == 8'd1 && ky_left_q == 8'd1 && c_left_q == 16'd1;
    bad = illegal_q || base_q > 21'(WbufRows - Rows);
    reading = valid_q && !read_q && !bad && !stop_i;
    // Row 0 of a transposed tile is complete only with the last row read.
    ready = !instr_q.weight_transposed || bad || read_q || row_q == RowBits'(Rows - 1);
    finished = valid_q && !bad && (take_i || taken_q) &&
               (read_q || (reading && row_q == RowBits'(Rows - 1)));
  end

  assign instr_ready_o = (!valid_q || (finished && last)) && !stop_i;
  assign pass_valid_o = valid_q && !taken_q && ready;
  assign pass_o.step = step_q;
  assign pass_o.last = last;
  assign pass_o.error = illegal_q ? ErrorIllegal : bad ? ErrorLocalRange : ErrorOk;
  assign instr_o = instr_q;
  assign index_o = index_q;
  assign wbuf_valid_o = reading;
  assign wbuf_row_o = 20'(base_q) + 20'(row_q);

  always_ff @(posedge clk_i) begin : advance
    load_o <= reading;
    if (reading) begin
      load_row_o <= row_q;
      turn_o <= instr_q.weight_transposed;
      weight_unsigned_o <= instr_q.weight_unsigned;
      weight_zero_o <= instr_q.weight_zero[WeightBits:0];
      row_q <= row_q + 1'b1;
      if (row_q == RowBits'(Rows - 1)) read_q <= 1'b1;
    end
    if (take_i) taken_q <= 1'b1;

    if (instr_valid_i && instr_ready_o) begin
      valid_q <= 1'b1;
      instr_q <= instr_i;
      index_q <= instr_index_i;
      illegal_q <= (instr_i.weight_transposed && Rows != Cols) || instr_i.n_x == '0 ||
                   instr_i.n_y == '0 || instr_i.n_kx == '0 || instr_i.n_ky == '0 ||
                   instr_i.n_c == '0;
      step_q <= StepFirst;
      kx_left_q <= instr_i.n_kx;
      ky_left_q <= instr_i.n_ky;
      c_left_q <= instr_i.n_c;
      base_q <= 21'(instr_i.wbuf);
    end else if (finished) begin
      base_q <= base_q + 21'(Rows);
      if (kx_left_q != 8'd1) begin
        step_q <= StepKx;
        kx_left_q <= kx_left_q - 8'd1;
      end else begin
        kx_left_q <= instr_q.n_kx;
        if (ky_left_q != 8'd1) begin
          step_q <= StepKy;
          ky_left_q <= ky_left_q - 8'd1;
        end else begin
          step_q <= StepC;
          ky_left_q <= instr_q.n_ky;
          c_left_q <= c_left_q - 16'd1;
        end
      end
      if (last) valid_q <= 1'b0;
    end
    if (finished || !valid_q) begin
      row_q <= '0;
      read_q <= 1'b0;
      taken_q <= 1'b0;
    end

    if (!rst_ni || clear_i) begin
      valid_q <= 1'b0;
      load_o <= 1'b0;
    end
  end
endmodule
