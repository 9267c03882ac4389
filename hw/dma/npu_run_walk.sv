// Walks the runs of the instructions in a queue, in order: one run a cycle if `next_i` stays high,
// with no gap between instructions. An engine has several walkers over the same slots, so that what
// is asked for early and what is consumed late need no list of runs between them.

module npu_run_walk
  import npu_dma_pkg::*;
#(
  parameter int unsigned Slots = 4,
  localparam int unsigned PtrBits = $clog2(Slots) + 1
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,
  input  logic               tick_i,
  input  desc_t              slot_i [Slots],
  input  logic [PtrBits-1:0] tail_i,
  input  logic               next_i,     // the run was taken
  output logic               valid_o,    // the outputs below describe a run
  output logic [PtrBits-2:0] slot_o,     // its instruction
  output logic               last_o,     // the last run of its instruction
  output logic [23:0]        chip_o,     // on-chip address of byte 0, padding included
  output logic [63:0]        dram_o,     // DRAM address of the first byte that is not padding
  output logic [19:0]        bytes_o,    // length, padding included
  output logic [19:0]        before_o,   // padding bytes at the head
  output logic [19:0]        data_o      // bytes between the paddings; 0: the whole run is padding
);
  logic               valid_q, last_q;
  logic [PtrBits-1:0] next_q;  // the next instruction
  logic [PtrBits-2:0] slot_q;
  logic [15:0]        i1_q, i2_q, i3_q;
  logic [15:0]        end1_q, end2_q, end3_q;    // last index of each loop
  logic [15:0]        first_q, limit_q;          // loop 1 outside padding: [first, limit)
  logic [19:0]        bytes_q, before_q, inner_q, data_q;
  logic [23:0]        chip1_q, chip2_q, chip3_q; // address at the index of loop k..3
  logic [63:0]        dram1_q, dram2_q, dram3_q;
  logic [23:0]        chip_stride1_q, chip_stride2_q, chip_stride3_q;
  logic [31:0]        dram_stride1_q, dram_stride2_q, dram_stride3_q;

  logic [PtrBits-2:0] next;
  assign next = next_q[PtrBits-2:0];
  assign valid_o = valid_q;
  assign slot_o = slot_q;
  assign last_o = last_q;
  assign chip_o = chip1_q;
  assign dram_o = dram1_q;
  assign bytes_o = bytes_q;
  assign before_o = before_q;
  assign data_o = data_q;

  always_ff @(posedge clk_i) begin : walk
    automatic logic [15:0] i1, i2, i3;
    automatic logic [23:0] chip;
    automatic logic [63:0] dram;
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      valid_q <= 1'b0;
      next_q <= '0;
    end else if (valid_q ? next_i : next_q != tail_i) begin
      if (valid_q && !last_q) begin
        i1 = i1_q;
        i2 = i2_q;
        i3 = i3_q;
        if (i1 != end1_q) begin
          // Padding runs at the head of loop 1 do not move in DRAM.
          if (i1 >= first_q) dram1_q <= dram1_q + 64'($signed(dram_stride1_q));
          chip1_q <= chip1_q + chip_stride1_q;
          i1 = i1 + 16'd1;
        end else begin
          i1 = '0;
          if (i2 != end2_q) begin
            chip = chip2_q + chip_stride2_q;
            dram = dram2_q + 64'($signed(dram_stride2_q));
            i2 = i2 + 16'd1;
          end else begin
            chip = chip3_q + chip_stride3_q;
            dram = dram3_q + 64'($signed(dram_stride3_q));
            chip3_q <= chip;
            dram3_q <= dram;
            i2 = '0;
            i3 = i3 + 16'd1;
          end
          chip2_q <= chip;
          dram2_q <= dram;
          chip1_q <= chip;
          dram1_q <= dram;
        end
        i1_q <= i1;
        i2_q <= i2;
        i3_q <= i3;
        last_q <= i1 == end1_q && i2 == end2_q && i3 == end3_q;
        data_q <= (i1 >= first_q && i1 < limit_q) ? inner_q : '0;
      end else if (next_q != tail_i) begin
        valid_q <= 1'b1;
        slot_q <= next;
        next_q <= next_q + PtrBits'(1);
        i1_q <= '0;
        i2_q <= '0;
        i3_q <= '0;
        end1_q <= slot_i[next].n1 - 16'd1;
        end2_q <= slot_i[next].n2 - 16'd1;
        end3_q <= slot_i[next].n3 - 16'd1;
        first_q <= slot_i[next].before1;
        limit_q <= slot_i[next].n1 - slot_i[next].after1;
        bytes_q <= slot_i[next].n0;
        before_q <= slot_i[next].before0;
        inner_q <= slot_i[next].n0 - slot_i[next].before0 - slot_i[next].after0;
        data_q <= (slot_i[next].before1 == '0 && slot_i[next].n1 != slot_i[next].after1)
                  ? slot_i[next].n0 - slot_i[next].before0 - slot_i[next].after0 : '0;
        chip1_q <= slot_i[next].chip;
        chip2_q <= slot_i[next].chip;
        chip3_q <= slot_i[next].chip;
        dram1_q <= slot_i[next].dram;
        dram2_q <= slot_i[next].dram;
        dram3_q <= slot_i[next].dram;
        chip_stride1_q <= slot_i[next].chip1;
        chip_stride2_q <= slot_i[next].chip2;
        chip_stride3_q <= slot_i[next].chip3;
        dram_stride1_q <= slot_i[next].dram1;
        dram_stride2_q <= slot_i[next].dram2;
        dram_stride3_q <= slot_i[next].dram3;
        last_q <= slot_i[next].n1 == 16'd1 && slot_i[next].n2 == 16'd1 && slot_i[next].n3 == 16'd1;
      end else begin
        valid_q <= 1'b0;
      end
    end
  end
endmodule
