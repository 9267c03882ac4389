// The indices of gathers: reads them from DRAM ahead of the rows, in the order of the instructions,
// and makes of each the address of its row, one a cycle.
//
// Bursts of indices go out through the rows' npu_burst_gen, one at a time, so that R brings them
// among the rows in an order that is known. A row is given out twice: to the asking side with its
// address, and to the filling side with its place in a beat. An index that is no good goes the same
// way, as a row with a code in place of data, so that errors keep the order of the runs.

`include "npu_macros.svh"

module npu_gather
  import npu_dma_pkg::*;
#(
  parameter int unsigned Slots = 4,
  parameter int unsigned BurstBeats = 8,  // longest burst of indices; a power of two, at least 2
  localparam int unsigned PtrBits = $clog2(Slots) + 1
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 tick_i,
  input  desc_t                slot_i [Slots],
  input  logic [PtrBits-1:0]   tail_i,
  // a burst of indices; there is room for what it brings
  output logic                 ask_valid_o,
  output logic [63:0]          ask_dram_o,
  output logic [19:0]          ask_bytes_o,
  input  logic                 ask_next_i,
  // its beats
  input  logic                 push_i,
  input  logic [BeatBits-1:0]  data_i,
  input  logic                 error_i,
  // the next row, for the asking side
  output logic                 row_valid_o,
  output logic [63:0]          row_dram_o,
  output logic                 row_good_o,
  input  logic                 row_next_i,
  // the oldest row that is not being filled, for the filling side
  output logic                 place_valid_o,
  output logic [BeatShift-1:0] place_from_o,
  output logic [3:0]           place_code_o,  // why nothing of it moves
  input  logic                 place_next_i
);
  localparam int unsigned Beats = 2 * BurstBeats;  // one burst on its way while one is used up
  localparam int unsigned BeatPtrBits = $clog2(Beats) + 1;
  localparam int unsigned BlockBits = $clog2(BurstBeats);
  localparam int unsigned LeftBits = 18;  // beats of a list of 2^16 words
  // As many rows of a beat as hide the latency of the smallest memories.
  localparam int unsigned Places = 64;
  localparam int unsigned PlacePtrBits = $clog2(Places) + 1;

  // Asking for indices.
  logic                   ask_q;
  logic [PtrBits-1:0]     ask_next_q;   // the next instruction
  logic [63:0]            ask_dram_q;   // multiple of BeatBytes
  logic [LeftBits-1:0]    ask_left_q;   // beats
  logic [BeatPtrBits-1:0] room_q;       // beats that may still be asked for
  logic [LeftBits-1:0]    block, chunk;
  logic                   pop;
  assign block = LeftBits'(BurstBeats) - LeftBits'(ask_dram_q[BeatShift +: BlockBits]);
  assign chunk = ask_left_q < block ? ask_left_q : block;
  assign ask_valid_o = ask_q && LeftBits'(room_q) >= chunk;
  assign ask_dram_o = ask_dram_q;
  assign ask_bytes_o = 20'(chunk) << BeatShift;

  always_ff @(posedge clk_i) begin : ask
    automatic logic [PtrBits-2:0] slot;
    automatic logic [63:0]        first;
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      ask_q <= 1'b0;
      ask_next_q <= '0;
      room_q <= BeatPtrBits'(Beats);
    end else begin
      if (ask_next_i) begin
        ask_dram_q <= ask_dram_q + (64'(chunk) << BeatShift);
        ask_left_q <= ask_left_q - chunk;
        ask_q <= ask_left_q != chunk;
      end else if (!ask_q && ask_next_q != tail_i) begin
        slot = ask_next_q[PtrBits-2:0];
        first = slot_i[slot].list;
        ask_next_q <= ask_next_q + PtrBits'(1);
        ask_q <= slot_i[slot].gather;
        ask_dram_q <= {first[63:BeatShift], BeatShift'(0)};
        ask_left_q <= (LeftBits'(first[BeatShift-1:0]) + (LeftBits'(slot_i[slot].n1) << 2)
                       + LeftBits'(BeatBytes - 1)) >> BeatShift;
      end
      if (ask_next_i || pop) begin
        room_q <= room_q - (ask_next_i ? BeatPtrBits'(chunk) : '0) + BeatPtrBits'(pop);
      end
    end
  end

  // Beats of indices, and the index that is taken next.
  logic [BeatBits-1:0]    beat_q [Beats];
  logic                   beat_error_q [Beats];
  logic [BeatPtrBits-1:0] wr_q, rd_q;
  logic                   use_q;
  logic [PtrBits-1:0]     use_next_q;   // the next instruction
  logic [PtrBits-2:0]     use_slot_q;
  logic [BeatShift-1:0]   use_at_q;     // of the index in its beat
  logic [15:0]            use_left_q;
  logic                   take, last;
  // Stages: the index; its product with the stride and what is wrong with it; the address.
  logic                   index_valid_q, product_valid_q, row_valid_q;
  logic                   index_move, product_move, row_move;
  logic [PtrBits-2:0]     index_slot_q, product_slot_q;
  logic [31:0]            index_q;
  logic                   index_error_q;
  logic signed [63:0]     product_q;
  logic [3:0]             product_code_q;
  logic                   row_good_q;
  logic [63:0]            row_dram_q;
  // Rows that the filling side has not begun.
  logic [BeatShift+3:0]    place_q [Places];
  logic [PlacePtrBits-1:0] place_wr_q, place_rd_q;
  logic                    full;

  assign row_move = (!row_valid_q || row_next_i) && !full;
  assign product_move = !product_valid_q || row_move;
  assign index_move = !index_valid_q || product_move;
  assign take = use_q && wr_q != rd_q && index_move;
  assign last = use_left_q == 16'd1;
  assign pop = take && (last || use_at_q == BeatShift'(BeatBytes - 4));

  always_ff @(posedge clk_i) begin : rows
    automatic logic [PtrBits-2:0] slot;
    automatic logic [63:0]        dram;
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      place_wr_q <= '0;
      place_rd_q <= '0;
      wr_q <= '0;
      rd_q <= '0;
      use_q <= 1'b0;
      use_next_q <= '0;
      index_valid_q <= 1'b0;
      product_valid_q <= 1'b0;
      row_valid_q <= 1'b0;
    end else begin
      if (push_i) begin
        beat_q[wr_q[BeatPtrBits-2:0]] <= data_i;
        beat_error_q[wr_q[BeatPtrBits-2:0]] <= error_i;
        wr_q <= wr_q + BeatPtrBits'(1);
      end
      if (pop) rd_q <= rd_q + BeatPtrBits'(1);
      if (take) begin
        use_at_q <= use_at_q + BeatShift'(4);
        use_left_q <= use_left_q - 16'd1;
        use_q <= !last;
      end else if (!use_q && use_next_q != tail_i) begin
        slot = use_next_q[PtrBits-2:0];
        use_next_q <= use_next_q + PtrBits'(1);
        use_slot_q <= slot;
        use_q <= slot_i[slot].gather;
        use_at_q <= slot_i[slot].list[BeatShift-1:0];
        use_left_q <= slot_i[slot].n1;
      end
      if (index_move) begin
        index_valid_q <= take;
        if (take) begin
          index_q <= 32'(beat_q[rd_q[BeatPtrBits-2:0]] >> {use_at_q, 3'b000});
          index_error_q <= beat_error_q[rd_q[BeatPtrBits-2:0]];
          index_slot_q <= use_slot_q;
        end
      end
      if (product_move) begin
        product_valid_q <= index_valid_q;
        if (index_valid_q) begin
          product_q <= 64'($signed({1'b0, index_q})) * 64'($signed(slot_i[index_slot_q].dram1));
          product_code_q <= index_error_q ? npu_isa_pkg::ErrorDramRead
                            : index_q >= slot_i[index_slot_q].limit ? npu_isa_pkg::ErrorIndex
                            : npu_isa_pkg::ErrorOk;
          product_slot_q <= index_slot_q;
        end
      end
      if (row_next_i) row_valid_q <= 1'b0;
      // Both sides get the row at once: a row that is longer than LOAD's data buffer is filled
      // before all of it is asked for.
      if (row_move && product_valid_q) begin
        dram = slot_i[product_slot_q].dram + product_q;
        row_valid_q <= 1'b1;
        row_dram_q <= dram;
        row_good_q <= product_code_q == npu_isa_pkg::ErrorOk;
        place_q[place_wr_q[PlacePtrBits-2:0]] <= {product_code_q, dram[BeatShift-1:0]};
        place_wr_q <= place_wr_q + PlacePtrBits'(1);
      end
      if (place_next_i) place_rd_q <= place_rd_q + PlacePtrBits'(1);
    end
  end

  assign full = place_wr_q - place_rd_q == PlacePtrBits'(Places);
  assign row_valid_o = row_valid_q;
  assign row_dram_o = row_dram_q;
  assign row_good_o = row_good_q;
  assign place_valid_o = place_wr_q != place_rd_q;
  assign {place_code_o, place_from_o} = place_q[place_rd_q[PlacePtrBits-2:0]];

  `NPU_ASSERT(GatherRoom, room_q <= BeatPtrBits'(Beats), "gather: beats of indices overrun")
  `NPU_ASSERT(GatherPlace, !place_next_i || place_valid_o, "gather: a row filled that is not there")
endmodule
