// Instructions of a DMA engine in flight: takes a descriptor, refuses what is illegal or leaves its
// memory, keeps the good ones for the walkers until `free_i`.
//
// The extent of the on-chip addresses is the exact sum over the three loops; one multiplier, a loop
// per cycle, so a descriptor reaches the walkers four cycles after it came.

`include "npu_macros.svh"

module npu_dma_queue
  import npu_dma_pkg::*;
#(
  parameter int unsigned Slots = 4,
  localparam int unsigned PtrBits = $clog2(Slots) + 1
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,
  input  logic               tick_i,
  input  logic               halt_i,
  input  logic               valid_i,
  output logic               ready_o,
  input  desc_t              desc_i,
  input  logic [24:0]        size_i,     // bytes of the memory desc_i.buffer; 0: not reachable
  input  logic               free_i,     // the oldest instruction has finished
  output desc_t              slot_o [Slots],
  output logic [PtrBits-1:0] head_o,     // oldest unfinished; pointers carry a wrap bit
  output logic [PtrBits-1:0] tail_o,     // one past the newest that may run
  output logic               active_o,   // something is here
  output logic               error_valid_o,
  output logic [3:0]         error_code_o,
  output logic [31:0]        error_index_o
);
  `NPU_ASSERT_STATIC(Slots, Slots >= 2 && 2 ** $clog2(Slots) == Slots,
                     "npu_dma_queue: instructions in flight must be a power of two, at least 2")

  typedef logic signed [43:0] extent_t;

  desc_t              slot_q [Slots];
  logic [PtrBits-1:0] head_q, tail_q;
  logic [1:0]         step_q;     // loops added to the extent
  logic               checking_q;
  logic [24:0]        size_q;
  extent_t            low_q, high_q;
  logic               full_q;
  logic               error_q;
  logic [3:0]         code_q;
  logic [31:0]        index_q;

  logic [PtrBits-2:0] at;         // of the descriptor that is checked
  assign at = tail_q[PtrBits-2:0];

  assign ready_o = !checking_q && !full_q && !error_q && !halt_i;
  assign slot_o = slot_q;
  assign head_o = head_q;
  assign tail_o = tail_q;
  assign active_o = checking_q || (head_q != tail_q);
  assign error_valid_o = error_q;
  assign error_code_o = code_q;
  assign error_index_o = index_q;

  always_ff @(posedge clk_i) begin : queue
    automatic logic [PtrBits-1:0] head, tail;
    automatic logic signed [16:0] count;
    automatic logic signed [23:0] stride;
    automatic extent_t            reach, low, high;
    if (!tick_i) begin
    end else if (!rst_ni || clear_i) begin
      head_q <= '0;
      tail_q <= '0;
      checking_q <= 1'b0;
      full_q <= 1'b0;
      error_q <= 1'b0;
    end else if (valid_i || checking_q || free_i) begin
      head = head_q;
      tail = tail_q;
      if (valid_i && ready_o) begin
        slot_q[at] <= desc_i;
        size_q <= size_i;
        low_q <= extent_t'({1'b0, desc_i.chip});
        high_q <= extent_t'({1'b0, desc_i.chip}) + extent_t'({1'b0, desc_i.n0});
        step_q <= 2'd0;
        checking_q <= 1'b1;
      end
      if (checking_q) begin
        unique case (step_q)
          2'd0: begin count = {1'b0, slot_q[at].n1}; stride = slot_q[at].chip1; end
          2'd1: begin count = {1'b0, slot_q[at].n2}; stride = slot_q[at].chip2; end
          default: begin count = {1'b0, slot_q[at].n3}; stride = slot_q[at].chip3; end
        endcase
        reach = (extent_t'(count) - 44'sd1) * extent_t'(stride);
        low = low_q + (reach < 0 ? reach : '0);
        high = high_q + (reach > 0 ? reach : '0);
        low_q <= low;
        high_q <= high;
        step_q <= step_q + 2'd1;
        if (step_q == 2'd2) begin
          checking_q <= 1'b0;
          index_q <= slot_q[at].index;
          if (slot_q[at].n0 == '0 || slot_q[at].n1 == '0 || slot_q[at].n2 == '0
              || slot_q[at].n3 == '0
              || 21'(slot_q[at].before0) + 21'(slot_q[at].after0) > 21'(slot_q[at].n0)
              || 17'(slot_q[at].before1) + 17'(slot_q[at].after1) > 17'(slot_q[at].n1)
              || (slot_q[at].gather
                  && (slot_q[at].n2 != 16'd1 || slot_q[at].n3 != 16'd1
                      || slot_q[at].before0 != '0 || slot_q[at].after0 != '0
                      || slot_q[at].before1 != '0 || slot_q[at].after1 != '0
                      || slot_q[at].list[1:0] != '0))) begin
            error_q <= 1'b1;
            code_q <= npu_isa_pkg::ErrorIllegal;
          end else if (size_q == '0 || low < 0 || high > extent_t'({1'b0, size_q})) begin
            error_q <= 1'b1;
            code_q <= npu_isa_pkg::ErrorLocalRange;
          end else begin
            tail = tail + PtrBits'(1);
          end
        end
      end
      if (free_i) head = head + PtrBits'(1);
      head_q <= head;
      tail_q <= tail;
      full_q <= (tail - head) == PtrBits'(Slots);
    end
  end
endmodule
