// A FIFO of beats in inferred RAM whose two oldest beats are visible at once, so that bytes which
// straddle a beat boundary can be taken in one cycle. The writer holds the credits: it never pushes
// more than Depth beats.

module npu_window_fifo
  import npu_dma_pkg::*;
#(
  parameter int unsigned Depth = 256  // power of two
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                clear_i,
  input  logic                tick_i,
  input  logic                push_i,
  input  logic [BeatBits-1:0] data_i,
  input  logic                error_i,     // travels with the beat
  input  logic [1:0]          pop_i,       // beats taken this cycle, at most count_o
  output logic [1:0]          count_o,     // beats visible: 0, 1, 2
  output logic [BeatBits-1:0] beat0_o,
  output logic [BeatBits-1:0] beat1_o,
  output logic                error0_o,
  output logic                error1_o
);
  localparam int unsigned PtrBits = $clog2(Depth) + 1;
  localparam int unsigned Window = 4;

  logic [BeatBits-1:0] ram_q [Depth];
  logic                ram_error_q [Depth];
  logic [PtrBits-1:0]  wr_q, rd_q;
  logic                read_q;         // the registered read below is valid
  logic [BeatBits-1:0] read_data_q;
  logic                read_error_q;
  logic [BeatBits-1:0] window_q [Window];
  logic [Window-1:0]   error_q;
  logic [2:0]          fill_q;         // valid beats in the window

  assign count_o = fill_q > 3'd2 ? 2'd2 : fill_q[1:0];
  assign beat0_o = window_q[0];
  assign beat1_o = window_q[1];
  assign error0_o = error_q[0];
  assign error1_o = error_q[1];

  always_ff @(posedge clk_i) begin : window
    automatic logic [BeatBits-1:0] w [Window];
    automatic logic [Window-1:0]   e;
    automatic logic [2:0]          fill;
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      wr_q <= '0;
      rd_q <= '0;
      read_q <= 1'b0;
      fill_q <= '0;
    end else if (push_i || read_q || rd_q != wr_q || pop_i != '0) begin
      if (push_i) begin
        ram_q[wr_q[PtrBits-2:0]] <= data_i;
        ram_error_q[wr_q[PtrBits-2:0]] <= error_i;
        wr_q <= wr_q + PtrBits'(1);
      end
      w = window_q;
      e = error_q;
      fill = fill_q - 3'(pop_i);
      if (pop_i == 2'd1) begin
        w[0] = w[1];
        w[1] = w[2];
        w[2] = w[3];
        e = e >> 1;
      end else if (pop_i == 2'd2) begin
        w[0] = w[2];
        w[1] = w[3];
        e = e >> 2;
      end
      if (read_q) begin
        w[fill[1:0]] = read_data_q;
        e[fill[1:0]] = read_error_q;
        fill = fill + 3'd1;
      end
      read_q <= 1'b0;
      if (rd_q != wr_q && fill < 3'(Window)) begin
        read_data_q <= ram_q[rd_q[PtrBits-2:0]];
        read_error_q <= ram_error_q[rd_q[PtrBits-2:0]];
        rd_q <= rd_q + PtrBits'(1);
        read_q <= 1'b1;
      end
      window_q <= w;
      error_q <= e;
      fill_q <= fill;
    end
  end
endmodule
