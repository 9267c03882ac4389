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
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 halt_i,

  input  logic                 instr_valid_i,
  output logic                 instr_ready_o,
  input  logic [InstrBits-1:0] instr_i,
  input  logic [31:0]          instr_index_i,
  output logic                 error_valid_o,
  output logic [3:0]           error_code_o,
  output logic [31:0]          error_index_o,

  input  logic                 stall_i,    // the pipe stands still
  input  logic                 drained_i,  // nothing is in the pipe
  input  logic                 hazard_i,   // an older instruction has yet to write what is read now

  output logic [1:0]           rd_valid_o,
  input  logic                 rd_ready_i,
  output buffer_e              rd_buffer_o [2],
  output logic [23:0]          rd_addr_o   [2],
  output dtype_e               rd_dtype_o  [2],

  output logic                 active_o,   // holds an instruction
  output logic                 accept_o,   // takes one at this edge
  output logic [1:0]           take_o,     // operands whose data arrive in the next cycle
  output logic                 issue_o,    // the iteration enters the pipe
  output config_t              config_o,
  output tag_t                 tag_o,
  output target_t              target_o,
  output logic                 refused_o   // the memory did not grant the reads
);
  logic        active_q, error_q, wait_drain_q, range_bad_q;
  error_e      check_q, code_q;
  logic [31:0] index_q, error_index_q;
  config_t     config_q;
  buffer_e     buffer_q [2];
  dtype_e      dtype_q  [2];
  logic [2:0]  reduce_loops_q;
  logic        split_read_q;  // both sources in one memory: two reads
  logic        second_q;      // the second of them is up
  logic        start_q, fresh_q, first_q;

  logic [15:0] count_q     [4];  // iterations less one
  logic [15:0] remaining_q [4];
  pointer_t    stride_q    [4][Walkers];
  pointer_t    origin_q    [4][Walkers];  // where the current round of loop j - 1 began; [0] unused
  pointer_t    at_q        [Walkers];     // the iteration at hand
  pointer_t    limit_q     [Walkers];     // the first address past the memory

  // The loop that steps after this iteration; 4: none, it was the last.
  logic [2:0] level;
  logic       want, granted;
  logic [1:0] reads;

  always_comb begin
    level = 3'd4;
    if (remaining_q[0] != '0) level = 3'd0;
    else if (remaining_q[1] != '0) level = 3'd1;
    else if (remaining_q[2] != '0) level = 3'd2;
    else if (remaining_q[3] != '0) level = 3'd3;
  end

  assign want = active_q && !halt_i && !stall_i && !hazard_i && !wait_drain_q
      && check_q == ErrorOk && !range_bad_q;

  always_comb begin
    reads = {config_q.has_src2, config_q.has_src1};
    if (split_read_q) reads = second_q ? 2'b10 : 2'b01;
  end

  assign rd_valid_o  = want ? reads : 2'b00;
  assign granted     = want && (reads == '0 || rd_ready_i);
  assign rd_buffer_o = buffer_q;
  assign rd_dtype_o  = dtype_q;
  assign rd_addr_o[0] = at_q[WalkSrc1][23:0];
  assign rd_addr_o[1] = at_q[WalkSrc2][23:0];

  assign take_o    = granted ? reads : 2'b00;
  assign issue_o   = granted && (!split_read_q || second_q);
  assign refused_o = want && reads != '0 && !rd_ready_i;
  assign config_o  = config_q;
  assign target_o  = '{
    has_dst2:     config_q.has_dst2,
    dst2_in_ibuf: config_q.dst2_buffer == BufferIbuf,
    dst2:         at_q[WalkDst2][23:0],
    dst_in_ibuf:  config_q.dst_buffer == BufferIbuf,
    dst:          at_q[WalkDst][23:0]
  };
  assign tag_o = '{
    start: start_q,
    fresh: fresh_q,
    first: first_q,
    last:  level >= reduce_loops_q,
    tail:  remaining_q[0] == '0,
    done:  level == 3'd4,
    param_row: at_q[WalkParam][15:0]
  };

  assign active_o      = active_q;
  assign instr_ready_o = !halt_i && !error_q && (!active_q || (issue_o && level == 3'd4));
  assign accept_o      = instr_valid_i && instr_ready_o;
  assign error_valid_o = error_q;
  assign error_code_o  = code_q;
  assign error_index_o = error_index_q;

  // One iterator's base and strides; all zero where it is absent, so that it walks nowhere.
  `define NPU_WALK(walker, present, base, limit, outer, s0, s1, s2, s3) \
    at[walker]        = (present) ? PointerBits'(base) : '0; \
    bounds[walker]    = (present) ? PointerBits'(limit) : '1; \
    stride[0][walker] = ((present) && outer[0]) ? PointerBits'(s0) : '0; \
    stride[1][walker] = ((present) && outer[1]) ? PointerBits'(s1) : '0; \
    stride[2][walker] = ((present) && outer[2]) ? PointerBits'(s2) : '0; \
    stride[3][walker] = ((present) && outer[3]) ? PointerBits'(s3) : '0;

  always_ff @(posedge clk_i) begin : walk
    automatic int unsigned i;
    automatic pointer_t    at     [Walkers];
    automatic pointer_t    bounds [Walkers];
    automatic pointer_t    stride [4][Walkers];
    automatic pointer_t    origin [4][Walkers];
    automatic logic        outside;
    automatic logic [3:0]  outer;
    /* verilator lint_off UNUSEDSIGNAL */  // header and padding are of no interest here
    automatic vector_t     v;
    /* verilator lint_on UNUSEDSIGNAL */
    outside = 1'b0;

    if (!rst_ni || clear_i) begin
      active_q <= 1'b0;
      error_q  <= 1'b0;
      code_q   <= ErrorOk;
      error_index_q <= '0;
    end else begin
      if (active_q) begin
        if (drained_i) wait_drain_q <= 1'b0;
        if (!halt_i && (check_q != ErrorOk || range_bad_q)) begin
          active_q <= 1'b0;
          error_q  <= 1'b1;
          code_q   <= check_q != ErrorOk ? check_q : ErrorLocalRange;
          error_index_q <= index_q;
        end
        if (granted && split_read_q) second_q <= !second_q;
      end

      if (issue_o) begin
        start_q <= 1'b0;
        first_q <= level >= reduce_loops_q;
        if (level >= reduce_loops_q) fresh_q <= 1'b0;
        if (level == 3'd4) begin
          active_q <= 1'b0;
        end else begin
          if (level == 3'd0) begin
            `NPU_FOR(i, Walkers) at[i] = at_q[i] + stride_q[0][i]; `NPU_END_FOR
            remaining_q[0] <= remaining_q[0] - 16'd1;
          end else begin
            `NPU_FOR(i, Walkers)
              at[i] = origin_q[level[1:0]][i] + stride_q[level[1:0]][i];
            `NPU_END_FOR
            origin = origin_q;
            origin[1] = at;
            if (level >= 3'd2) origin[2] = at;
            if (level >= 3'd3) origin[3] = at;
            origin_q <= origin;
            remaining_q[0] <= count_q[0];
            remaining_q[1] <= level == 3'd1 ? remaining_q[1] - 16'd1 : count_q[1];
            if (level >= 3'd2) begin
              remaining_q[2] <= level == 3'd2 ? remaining_q[2] - 16'd1 : count_q[2];
            end
            if (level >= 3'd3) remaining_q[3] <= remaining_q[3] - 16'd1;
          end
          `NPU_FOR(i, Walkers) outside |= at[i] >= limit_q[i]; `NPU_END_FOR
          at_q <= at;
          range_bad_q <= outside;
        end
      end

      if (accept_o) begin
        v = vector_t'(instr_i);
        active_q <= 1'b1;
        check_q  <= check(v);
        index_q  <= instr_index_i;
        config_q <= configure(v);
        buffer_q[0] <= v.src1_buffer;
        buffer_q[1] <= v.src2_buffer;
        dtype_q[0]  <= v.src1_dtype;
        dtype_q[1]  <= v.src2_dtype;
        split_read_q <= v.src1_buffer == v.src2_buffer && v.src1_buffer != BufferNone;
        second_q <= 1'b0;
        start_q  <= 1'b1;
        fresh_q  <= 1'b1;
        first_q  <= 1'b1;
        // What the transposer holds is not among the targets that hazard_i is made of.
        wait_drain_q <= (config_q.op == VectorOpTranspose && (active_q || !drained_i))
            || (wait_drain_q && !drained_i);

        reduce_loops_q <= v.reduce_loops;
        count_q[0] <= v.n0 - 16'd1;
        count_q[1] <= v.n1 - 16'd1;
        count_q[2] <= v.n2 - 16'd1;
        count_q[3] <= v.n3 - 16'd1;
        remaining_q[0] <= v.n0 - 16'd1;
        remaining_q[1] <= v.n1 - 16'd1;
        remaining_q[2] <= v.n2 - 16'd1;
        remaining_q[3] <= v.n3 - 16'd1;

        `NPU_FOR(i, Walkers)
          at[i] = '0;
          bounds[i] = '1;
          stride[0][i] = '0;
          stride[1][i] = '0;
          stride[2][i] = '0;
          stride[3][i] = '0;
        `NPU_END_FOR
        outer = 4'b1111;
        `NPU_WALK(WalkSrc1, v.src1_buffer != BufferNone, v.src1_base,
                  npu_arch_pkg::buffer_bytes(v.src1_buffer), outer,
                  v.src1_stride0, v.src1_stride1, v.src1_stride2, v.src1_stride3)
        `NPU_WALK(WalkSrc2, v.src2_buffer != BufferNone, v.src2_base,
                  npu_arch_pkg::buffer_bytes(v.src2_buffer), outer,
                  v.src2_stride0, v.src2_stride1, v.src2_stride2, v.src2_stride3)
        outer = outer_loops(v.reduce_loops);
        `NPU_WALK(WalkDst, v.dst_buffer != BufferNone, v.dst_base,
                  npu_arch_pkg::buffer_bytes(v.dst_buffer), outer,
                  v.dst_stride0, v.dst_stride1, v.dst_stride2, v.dst_stride3)
        `NPU_WALK(WalkDst2, v.dst2_buffer != BufferNone, v.dst2_base,
                  npu_arch_pkg::buffer_bytes(v.dst2_buffer), outer,
                  v.dst2_stride0, v.dst2_stride1, v.dst2_stride2, v.dst2_stride3)
        `NPU_WALK(WalkParam, v.scale == ScaleModePerLane, v.param, npu_arch_pkg::ParamRows, outer,
                  v.param_stride0, v.param_stride1, v.param_stride2, v.param_stride3)
        `NPU_FOR(i, Walkers) outside |= at[i] >= bounds[i]; `NPU_END_FOR
        range_bad_q <= outside;
        at_q     <= at;
        limit_q  <= bounds;
        stride_q <= stride;
        origin[0] = at;
        origin[1] = at;
        origin[2] = at;
        origin[3] = at;
        origin_q <= origin;
      end
    end
  end
  `undef NPU_WALK

  // An aligned address below the capacity then lies wholly inside.
  `NPU_ASSERT_STATIC(ibuf_in_vectors, npu_arch_pkg::IbufBytes % Lanes == 0,
                     "ibuf_bytes must be a multiple of vector.lanes")
  `NPU_ASSERT_STATIC(vmem_in_vectors, npu_arch_pkg::VmemBytes % (4 * Lanes) == 0,
                     "vmem_bytes must be a multiple of 4 * vector.lanes")
  `NPU_ASSERT_STATIC(obuf_in_vectors, npu_arch_pkg::ObufBytes % (4 * Lanes) == 0,
                     "obuf_bytes must be a multiple of 4 * vector.lanes")
  `NPU_ASSERT(reads_inside, !rd_valid_o[0] || at_q[WalkSrc1] < limit_q[WalkSrc1],
              "a read lies outside its memory")
endmodule
