// Reads the on-chip bytes of runs, one beat of the memory's read port a cycle, as long as `room_i`
// says that the data can be kept.

module npu_chunk_reader
  import npu_dma_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        clear_i,
  input  logic        tick_i,
  input  logic        run_valid_i,
  input  logic [2:0]  run_buffer_i,
  input  logic [23:0] run_chip_i,
  input  logic [19:0] run_bytes_i,
  output logic        run_next_o,
  input  logic        room_i,
  output logic        issue_o,       // a read was taken into the address register
  output logic        valid_o,
  input  logic        ready_i,
  output logic [2:0]  buffer_o,
  output logic [23:0] addr_o
);
  logic        valid_q;
  logic [2:0]  buffer_q;
  logic [23:0] addr_q;
  logic        middle_q;
  logic [23:0] rest_addr_q;
  logic [20:0] rest_beats_q;

  logic        issue;
  logic [23:0] addr;
  logic [20:0] beats;

  always_comb begin
    issue = 1'b0;
    addr = rest_addr_q;
    beats = rest_beats_q;
    if (run_valid_i) begin
      if (!middle_q) begin
        addr = {run_chip_i[23:BeatShift], BeatShift'(0)};
        beats = (21'(run_chip_i[BeatShift-1:0]) + 21'(run_bytes_i) + 21'(BeatBytes - 1))
                >> BeatShift;
      end
      issue = room_i && (!valid_q || ready_i);
    end
  end

  assign run_next_o = issue && beats == 21'd1;
  assign issue_o = issue;
  assign valid_o = valid_q;
  assign buffer_o = buffer_q;
  assign addr_o = addr_q;

  always_ff @(posedge clk_i) begin : read
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      valid_q <= 1'b0;
      middle_q <= 1'b0;
    end else if (issue) begin
      valid_q <= 1'b1;
      buffer_q <= run_buffer_i;
      addr_q <= addr;
      middle_q <= beats != 21'd1;
      rest_addr_q <= addr + 24'(BeatBytes);
      rest_beats_q <= beats - 21'd1;
    end else if (valid_q && ready_i) begin
      valid_q <= 1'b0;
    end
  end
endmodule
