// Walks the loops of one instruction: per iteration the addresses, their check, the read requests
// and the iteration's entry into the pipe.
//
// The next instruction is taken in the cycle in which the last iteration of the former is issued, so
// that consecutive instructions follow each other without a gap.
`include "npu_macros.svh"

module npu_vector_issue
  import npu_isa_pkg::*;
  import npu_vector_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        clear_i,
  input  logic        halt_i,

  input  logic        instr_valid_i,
  output logic        instr_ready_o,
  /* verilator lint_off UNUSEDSIGNAL */  // header and padding are of no interest here
  input  vector_t     instr_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  logic [31:0] instr_index_i,
  output logic        error_valid_o,
  output logic [3:0]  error_code_o,
  output logic [31:0] error_index_o,

  input  logic        stall_i,    // the pipe stands still
  input  logic        drained_i,  // nothing is in the pipe
  input  logic        hazard_i,   // an older instruction has yet to write what is read now

  output logic [1:0]  rd_valid_o,
  input  logic        rd_ready_i,
  output buffer_e     rd_buffer_o [2],
  output logic [23:0] rd_addr_o   [2],
  output dtype_e      rd_dtype_o  [2],

  output logic        active_o,   // holds an instruction
  output logic        accept_o,   // takes one at this edge
  output logic [1:0]  take_o,     // operands whose data arrive in the next cycle
  output logic        issue_o,    // the iteration enters the pipe
  output config_t     config_o,
  output tag_t        tag_o,
  output target_t     target_o,
  output logic        refused_o   // the memory did not grant the reads
);
  logic        active_q, error_q, wait_drain_q, outside_q;
  error_e      check_q, code_q;
  logic [31:0] index_q, error_index_q;
  config_t     config_q;
  logic        dst_in_ibuf_q, dst2_in_ibuf_q;
  dtype_e      dst_dtype_q, dst2_dtype_q;
  logic [2:0]  reduce_loops_q;
  logic        shared_q;  // both sources lie in one memory
  logic        second_q;  // the second of two reads of it is up
  logic [1:0]  held_q;    // sources whose data are those of the iteration before
  logic        start_q, fresh_q, first_q;
  logic [23:0] dst_q, dst2_q;  // addresses of the iteration at hand, beside rd_addr_o
  logic [15:0] param_row_q;
  logic [15:0] remaining0_q, remaining1_q, remaining2_q, remaining3_q;  // iterations after this one
  logic [15:0] count0_q, count1_q, count2_q;

  // Private to the process `walk`. Of loop j: where its current iteration began; [0] is the
  // iteration at hand.
  pointer_t    at_q     [4][Walkers];
  pointer_t    stride_q [4][Walkers];
  pointer_t    limit_q  [Walkers];  // the first address past the memory

  // The loop that steps after this iteration; 4: none, it was the last.
  logic [2:0] level;
  logic       want, granted, split;
  logic [1:0] wanted, reads;

  always_comb begin
    level = 3'd4;
    if (remaining0_q != '0) level = 3'd0;
    else if (remaining1_q != '0) level = 3'd1;
    else if (remaining2_q != '0) level = 3'd2;
    else if (remaining3_q != '0) level = 3'd3;
  end

  assign want = active_q && !halt_i && !stall_i && !hazard_i && !wait_drain_q
      && check_q == ErrorOk && !outside_q;

  // Equal sources are read once, by the first; what loop 0 does not move, once a round of it.
  assign wanted = {config_q.has_src2 && !config_q.same, config_q.has_src1} & ~held_q;
  assign split  = shared_q && wanted == 2'b11;
  assign reads  = !split ? wanted : second_q ? 2'b10 : 2'b01;

  assign rd_valid_o = want ? reads : 2'b00;
  assign granted    = want && (reads == '0 || rd_ready_i);
  assign take_o     = granted ? reads : 2'b00;
  assign issue_o    = granted && (!split || second_q);
  assign refused_o  = want && reads != '0 && !rd_ready_i;
  assign config_o   = config_q;
  assign target_o   = '{
    has_dst2:     config_q.has_dst2,
    dst2_in_ibuf: dst2_in_ibuf_q,
    dst2_dtype:   dst2_dtype_q,
    dst2:         dst2_q,
    dst_in_ibuf:  dst_in_ibuf_q,
    dst_dtype:    dst_dtype_q,
    dst:          dst_q
  };
  assign tag_o = '{
    start: start_q,
    fresh: fresh_q,
    first: first_q,
    last:  level >= reduce_loops_q,
    tail:  remaining0_q == '0,
    done:  level == 3'd4,
    transpose: config_q.op == VectorOpTranspose,
    per_lane:  config_q.scale == ScaleModePerLane,
    table_:    config_q.table_,
    param_row: param_row_q
  };

  assign active_o      = active_q;
  assign instr_ready_o = !halt_i && !error_q && (!active_q || (issue_o && level == 3'd4));
  assign accept_o      = instr_valid_i && instr_ready_o;
  assign error_valid_o = error_q;
  assign error_code_o  = code_q;
  assign error_index_o = error_index_q;

  // What is wrong with the fields alone; addresses are checked as the loops reach them.
  function automatic error_e check();
    automatic logic       reduces, unscaled, illegal;
    automatic logic [3:0] loops, outer;
    reduces  = instr_i.reduce_loops != '0 || instr_i.lane_reduce;
    unscaled = instr_i.scale == ScaleModeOff;
    illegal  = instr_i.n0 == '0 || instr_i.n1 == '0 || instr_i.n2 == '0 || instr_i.n3 == '0
        || instr_i.op > VectorOpNorm || instr_i.reduce > ReduceOpMinimum
        || instr_i.scale > ScaleModePerLane || instr_i.reduce_loops > 3'd4
        || instr_i.dst_buffer == BufferNone || !dtype_known(instr_i.dst_dtype)
        || (instr_i.dst2_buffer != BufferNone && !dtype_known(instr_i.dst2_dtype))
        || (instr_i.src1_buffer != BufferNone && !dtype_known(instr_i.src1_dtype))
        || (instr_i.src2_buffer != BufferNone && !dtype_known(instr_i.src2_dtype));
    unique case (instr_i.op)
      VectorOpSelect: illegal |= reduces;
      VectorOpSadd, VectorOpLeaky: illegal |= reduces || unscaled;
      VectorOpTranspose:
        illegal |= reduces || !unscaled || instr_i.n0 != 16'(Lanes)
            || instr_i.tail_lanes != '0 || instr_i.src2_buffer != BufferNone;
      default: ;
    endcase
    if (illegal) return ErrorIllegal;

    if (!reachable(instr_i.dst_buffer, instr_i.dst_dtype, 1'b1)
        || !reachable(instr_i.dst2_buffer, instr_i.dst2_dtype, 1'b1)
        || !reachable(instr_i.src1_buffer, instr_i.src1_dtype, 1'b0)
        || !reachable(instr_i.src2_buffer, instr_i.src2_dtype, 1'b0)
        || (instr_i.table_ && 32'(instr_i.table_index) >= npu_arch_pkg::TableRows)) begin
      return ErrorLocalRange;
    end

    loops = {instr_i.n3 != 16'd1, instr_i.n2 != 16'd1, instr_i.n1 != 16'd1, instr_i.n0 != 16'd1};
    outer = loops & outer_loops(instr_i.reduce_loops);
    if (!aligned(instr_i.src1_buffer, instr_i.src1_dtype, loops, instr_i.src1_base,
                 instr_i.src1_stride0, instr_i.src1_stride1, instr_i.src1_stride2,
                 instr_i.src1_stride3)
        || !aligned(instr_i.src2_buffer, instr_i.src2_dtype, loops, instr_i.src2_base,
                    instr_i.src2_stride0, instr_i.src2_stride1, instr_i.src2_stride2,
                    instr_i.src2_stride3)
        || !aligned(instr_i.dst_buffer, instr_i.dst_dtype, outer, instr_i.dst_base,
                    instr_i.dst_stride0, instr_i.dst_stride1, instr_i.dst_stride2,
                    instr_i.dst_stride3)
        || !aligned(instr_i.dst2_buffer, instr_i.dst2_dtype, outer, instr_i.dst2_base,
                    instr_i.dst2_stride0, instr_i.dst2_stride1, instr_i.dst2_stride2,
                    instr_i.dst2_stride3)) begin
      return ErrorAlignment;
    end
    return ErrorOk;
  endfunction

  // Both sources read the same vectors in the same way.
  function automatic logic same_sources();
    return instr_i.src1_buffer != BufferNone
        && {instr_i.src1_buffer, instr_i.src1_dtype, instr_i.src1_base, instr_i.src1_stride0,
            instr_i.src1_stride1, instr_i.src1_stride2, instr_i.src1_stride3}
        == {instr_i.src2_buffer, instr_i.src2_dtype, instr_i.src2_base, instr_i.src2_stride0,
            instr_i.src2_stride1, instr_i.src2_stride2, instr_i.src2_stride3};
  endfunction

  // One iterator's base and strides; all zero where it is absent, so that it walks nowhere.
  `define NPU_WALK(walker, present, base, limit, loops, s0, s1, s2, s3) \
    at_q[0][walker]     = (present) ? PointerBits'(base) : '0; \
    limit_q[walker]     = (present) ? PointerBits'(limit) : '1; \
    stride_q[0][walker] = ((present) && loops[0]) ? PointerBits'(s0) : '0; \
    stride_q[1][walker] = ((present) && loops[1]) ? PointerBits'(s1) : '0; \
    stride_q[2][walker] = ((present) && loops[2]) ? PointerBits'(s2) : '0; \
    stride_q[3][walker] = ((present) && loops[3]) ? PointerBits'(s3) : '0;

  `NPU_IN_PLACE_BEGIN
  always_ff @(posedge clk_i) begin : walk
    automatic int unsigned i;
    automatic logic        stepped, outside;
    automatic logic [3:0]  all, outer;
    stepped = 1'b0;

    if (!rst_ni || clear_i) begin
      active_q <= 1'b0;
      error_q  <= 1'b0;
      code_q   <= ErrorOk;
      error_index_q <= '0;
    end else if (active_q || instr_valid_i) begin
      if (active_q) begin
        if (drained_i) wait_drain_q <= 1'b0;
        if (!halt_i && (check_q != ErrorOk || outside_q)) begin
          active_q <= 1'b0;
          error_q  <= 1'b1;
          code_q   <= check_q != ErrorOk ? check_q : ErrorLocalRange;
          error_index_q <= index_q;
        end
        if (granted && split) second_q <= !second_q;
      end

      if (issue_o) begin
        start_q <= 1'b0;
        held_q <= level != 3'd0 || config_q.op == VectorOpTranspose ? 2'b00
            : {stride_q[0][WalkSrc2] == '0, stride_q[0][WalkSrc1] == '0};
        first_q <= level >= reduce_loops_q;
        if (level >= reduce_loops_q) fresh_q <= 1'b0;
        if (level == 3'd4) begin
          active_q <= 1'b0;
        end else if (level == 3'd0) begin
          stepped = 1'b1;
          remaining0_q <= remaining0_q - 16'd1;
          `NPU_FOR(i, Walkers) at_q[0][i] = at_q[0][i] + stride_q[0][i]; `NPU_END_FOR
        end else begin
          stepped = 1'b1;
          remaining0_q <= count0_q;
          if (level == 3'd1) begin
            remaining1_q <= remaining1_q - 16'd1;
          end else begin
            remaining1_q <= count1_q;
            if (level == 3'd2) begin
              remaining2_q <= remaining2_q - 16'd1;
            end else begin
              remaining2_q <= count2_q;
              remaining3_q <= remaining3_q - 16'd1;
            end
          end
          if (level == 3'd1) begin
            `NPU_FOR(i, Walkers) at_q[0][i] = at_q[1][i] + stride_q[1][i]; `NPU_END_FOR
          end else if (level == 3'd2) begin
            `NPU_FOR(i, Walkers) at_q[0][i] = at_q[2][i] + stride_q[2][i]; `NPU_END_FOR
            at_q[2] = at_q[0];
          end else begin
            `NPU_FOR(i, Walkers) at_q[0][i] = at_q[3][i] + stride_q[3][i]; `NPU_END_FOR
            at_q[2] = at_q[0];
            at_q[3] = at_q[0];
          end
          at_q[1] = at_q[0];
        end
      end

      if (accept_o) begin
        stepped = 1'b1;
        active_q <= 1'b1;
        check_q  <= check();
        index_q  <= instr_index_i;
        config_q <= '{
          imm1: instr_i.imm1,
          imm2: instr_i.imm2,
          mult1: instr_i.mult1,
          mult2: instr_i.mult2,
          bottom: lower_bound(instr_i.clamp, instr_i.lo, instr_i.table_),
          top: upper_bound(instr_i.clamp, instr_i.hi, instr_i.table_),
          lo: dtype_lowest(instr_i.dst_dtype),
          hi: dtype_highest(instr_i.dst_dtype),
          lo2: dtype_lowest(instr_i.dst2_dtype),
          hi2: dtype_highest(instr_i.dst2_dtype),
          zero_point: instr_i.zero_point,
          shift: instr_i.shift,
          tail_lanes: (instr_i.tail_lanes == '0 || instr_i.tail_lanes > 8'(Lanes)) ? 8'(Lanes)
              : instr_i.tail_lanes,
          op: instr_i.op,
          reduce: instr_i.reduce,
          scale: instr_i.scale,
          table_: instr_i.table_,
          table_index: instr_i.table_index,
          table_shift: instr_i.table_shift,
          reduce_loops: instr_i.reduce_loops != '0,
          reduce_lanes: instr_i.lane_reduce,
          has_src1: instr_i.src1_buffer != BufferNone,
          has_src2: instr_i.src2_buffer != BufferNone,
          same: same_sources(),
          has_dst2: instr_i.dst2_buffer != BufferNone
        };
        dst_in_ibuf_q  <= instr_i.dst_buffer == BufferIbuf;
        dst2_in_ibuf_q <= instr_i.dst2_buffer == BufferIbuf;
        dst_dtype_q    <= instr_i.dst_dtype;
        dst2_dtype_q   <= instr_i.dst2_dtype;
        rd_buffer_o[0] <= instr_i.src1_buffer;
        rd_buffer_o[1] <= instr_i.src2_buffer;
        rd_dtype_o[0]  <= instr_i.src1_dtype;
        rd_dtype_o[1]  <= instr_i.src2_dtype;
        shared_q <= instr_i.src1_buffer == instr_i.src2_buffer;
        second_q <= 1'b0;
        held_q   <= 2'b00;
        start_q  <= 1'b1;
        fresh_q  <= 1'b1;
        first_q  <= 1'b1;
        // What the transposer holds is not among the targets that hazard_i is made of.
        wait_drain_q <= (config_q.op == VectorOpTranspose && (active_q || !drained_i))
            || (wait_drain_q && !drained_i);

        reduce_loops_q <= instr_i.reduce_loops;
        count0_q <= instr_i.n0 - 16'd1;
        count1_q <= instr_i.n1 - 16'd1;
        count2_q <= instr_i.n2 - 16'd1;
        remaining0_q <= instr_i.n0 - 16'd1;
        remaining1_q <= instr_i.n1 - 16'd1;
        remaining2_q <= instr_i.n2 - 16'd1;
        remaining3_q <= instr_i.n3 - 16'd1;

        all = 4'b1111;
        outer = outer_loops(instr_i.reduce_loops);
        `NPU_WALK(WalkSrc1, instr_i.src1_buffer != BufferNone, instr_i.src1_base,
                  npu_arch_pkg::buffer_bytes(instr_i.src1_buffer), all, instr_i.src1_stride0,
                  instr_i.src1_stride1, instr_i.src1_stride2, instr_i.src1_stride3)
        `NPU_WALK(WalkSrc2, instr_i.src2_buffer != BufferNone, instr_i.src2_base,
                  npu_arch_pkg::buffer_bytes(instr_i.src2_buffer), all, instr_i.src2_stride0,
                  instr_i.src2_stride1, instr_i.src2_stride2, instr_i.src2_stride3)
        `NPU_WALK(WalkDst, instr_i.dst_buffer != BufferNone, instr_i.dst_base,
                  npu_arch_pkg::buffer_bytes(instr_i.dst_buffer), outer, instr_i.dst_stride0,
                  instr_i.dst_stride1, instr_i.dst_stride2, instr_i.dst_stride3)
        `NPU_WALK(WalkDst2, instr_i.dst2_buffer != BufferNone, instr_i.dst2_base,
                  npu_arch_pkg::buffer_bytes(instr_i.dst2_buffer), outer, instr_i.dst2_stride0,
                  instr_i.dst2_stride1, instr_i.dst2_stride2, instr_i.dst2_stride3)
        `NPU_WALK(WalkParam, instr_i.scale == ScaleModePerLane, instr_i.param,
                  npu_arch_pkg::ParamRows, outer, instr_i.param_stride0,
                  instr_i.param_stride1, instr_i.param_stride2, instr_i.param_stride3)
        for (i = WalkParam + 1; i < Walkers; i++) begin  // there is nothing that walks
          at_q[0][i] = '0;
          limit_q[i] = '1;
          stride_q[0][i] = '0;
          stride_q[1][i] = '0;
          stride_q[2][i] = '0;
          stride_q[3][i] = '0;
        end
        at_q[1] = at_q[0];
        at_q[2] = at_q[0];
        at_q[3] = at_q[0];
      end

      if (stepped) begin
        outside = 1'b0;
        `NPU_FOR(i, Walkers) outside |= at_q[0][i] >= limit_q[i]; `NPU_END_FOR
        outside_q <= outside;
        rd_addr_o[0] <= at_q[0][WalkSrc1][23:0];
        rd_addr_o[1] <= at_q[0][WalkSrc2][23:0];
        dst_q  <= at_q[0][WalkDst][23:0];
        dst2_q <= at_q[0][WalkDst2][23:0];
        param_row_q <= at_q[0][WalkParam][15:0];
      end
    end
  end
  `NPU_IN_PLACE_END
  `undef NPU_WALK

  // An aligned address below the capacity then lies wholly inside.
  `NPU_ASSERT_STATIC(ibuf_in_vectors, npu_arch_pkg::IbufBytes % Lanes == 0,
                     "ibuf_bytes must be a multiple of vector.lanes")
  `NPU_ASSERT_STATIC(vmem_in_vectors, npu_arch_pkg::VmemBytes % (4 * Lanes) == 0,
                     "vmem_bytes must be a multiple of 4 * vector.lanes")
  `NPU_ASSERT_STATIC(obuf_in_vectors, npu_arch_pkg::ObufBytes % (4 * Lanes) == 0,
                     "obuf_bytes must be a multiple of 4 * vector.lanes")
  `NPU_ASSERT(no_issue_after_error, !error_q || !issue_o, "an iteration is issued after an error")
endmodule
