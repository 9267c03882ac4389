// What the stages of the vector engine say to each other, and the decoding of its instruction.
//
// An iteration enters the pipe when its reads are granted and then moves one stage a cycle unless
// the write port refuses, which holds every stage. The registers in front of stage s carry index s:
//
//   1 operand     read data arrives; A = src1 + imm1, B = src2 + imm2
//   2 alu         t = op(A, B), or the transposer
//   3 accumulate  along the reduced loops; only the last iteration of a group goes on
//   4 lanes       across lanes
//   5 bias        + bias, choice of the multiplier (PARAM's data arrives)
//   6 multiply    v * m + addend
//   7 shift       rounded half to even
//   8 saturate    + zero point, clamp, both destinations' ranges
//   9 write
package npu_vector_pkg;
  import npu_isa_pkg::*;

  localparam int unsigned Lanes = npu_arch_pkg::Lanes;
  localparam int unsigned Stages = 9;

  // Two bits more than an address: one step from inside a memory can neither wrap nor hide.
  localparam int unsigned PointerBits = 26;
  // Accesses are aligned to their size, at most 4 bytes a lane, so they never straddle such a line.
  localparam int unsigned LineLsb = $clog2(4 * Lanes);

  // What walks along the loops. Eight, so that one SIMD register of the simulating machine holds
  // them; the three above the last stay zero and vanish in synthesis.
  localparam int unsigned Walkers = 8;
  localparam int unsigned WalkSrc1 = 0;
  localparam int unsigned WalkSrc2 = 1;
  localparam int unsigned WalkDst = 2;
  localparam int unsigned WalkDst2 = 3;
  localparam int unsigned WalkParam = 4;

  typedef logic [PointerBits-1:0] pointer_t;

  // An instruction as the stages see it. It follows the first iteration down the pipe.
  typedef struct packed {
    logic signed [31:0] imm1;
    logic signed [31:0] imm2;
    logic signed [31:0] mult1;
    logic signed [31:0] mult2;
    logic signed [31:0] lo;    // of dst: clamp and the range of its type in one
    logic signed [31:0] hi;
    logic signed [31:0] lo2;   // of dst2
    logic signed [31:0] hi2;
    logic signed [15:0] zero_point;
    logic [5:0]         shift;
    logic [7:0]         tail_lanes;  // lanes that take part in the last iteration of loop 0
    vector_op_e         op;
    reduce_op_e         reduce;
    scale_mode_e        scale;
    logic               reduce_loops;  // more than none
    logic               reduce_lanes;
    logic               has_src1;
    logic               has_src2;
    logic               has_dst2;
    logic               split_write;  // both destinations in one memory: two writes
    buffer_e            dst_buffer;
    buffer_e            dst2_buffer;
    dtype_e             dst_dtype;
    dtype_e             dst2_dtype;
  } config_t;

  // What an iteration is in its instruction.
  typedef struct packed {
    logic        start;  // the first of all
    logic        fresh;  // of the first reduced group, the one that makes the first result
    logic        first;  // of its group
    logic        last;   // of its group: the result goes on
    logic        tail;   // last of loop 0
    logic        done;   // the last of all
    logic [15:0] param_row;
  } tag_t;

  // Where an iteration's result goes.
  typedef struct packed {
    logic        has_dst2;
    logic        dst2_in_ibuf;  // else VMEM
    logic [23:0] dst2;
    logic        dst_in_ibuf;
    logic [23:0] dst;
  } target_t;

  // log2 of an element's bytes.
  function automatic logic [1:0] element_log2(input dtype_e dtype);
    unique case (dtype)
      DtypeS8, DtypeU8: return 2'd0;
      DtypeS16, DtypeU16: return 2'd1;
      default: return 2'd2;
    endcase
  endfunction

  function automatic logic signed [31:0] dtype_lowest(input dtype_e dtype);
    unique case (dtype)
      DtypeS8: return -32'sd128;
      DtypeS16: return -32'sd32768;
      DtypeU8, DtypeU16: return 32'sd0;
      default: return 32'sh8000_0000;
    endcase
  endfunction

  function automatic logic signed [31:0] dtype_highest(input dtype_e dtype);
    unique case (dtype)
      DtypeS8: return 32'sd127;
      DtypeU8: return 32'sd255;
      DtypeS16: return 32'sd32767;
      DtypeU16: return 32'sd65535;
      default: return 32'sh7fff_ffff;
    endcase
  endfunction

  // A clamp bound as the destination's type can hold it. Clamping is monotone, so clamping to
  // [lo, hi] and then to the type equals clamping once to the two bounds clamped to the type.
  function automatic logic signed [31:0] bound(
    input logic signed [15:0] value, input dtype_e dtype
  );
    if (32'(value) < dtype_lowest(dtype)) return dtype_lowest(dtype);
    if (32'(value) > dtype_highest(dtype)) return dtype_highest(dtype);
    return 32'(value);
  endfunction

  function automatic logic dtype_known(input dtype_e dtype);
    return dtype inside {DtypeS8, DtypeU8, DtypeS16, DtypeU16, DtypeS32};
  endfunction

  // VECTOR reaches this memory with this type. `write`: as a destination.
  function automatic logic reachable(
    input buffer_e buffer, input dtype_e dtype, input logic write
  );
    unique case (buffer)
      BufferNone, BufferVmem: return 1'b1;
      BufferIbuf: return dtype inside {DtypeS8, DtypeU8};
      BufferObuf: return !write && dtype == DtypeS32;
      default: return 1'b0;
    endcase
  endfunction

  // Base and the strides that are stepped keep every access aligned to its size.
  // `stepped`: loops that run more than once and move this iterator.
  function automatic logic aligned(
    input buffer_e buffer, input dtype_e dtype, input logic [3:0] stepped,
    input logic [23:0] base, input logic [23:0] stride0, input logic [23:0] stride1,
    input logic [23:0] stride2, input logic [23:0] stride3
  );
    automatic logic [23:0] bits;
    automatic logic [23:0] mask;
    if (buffer == BufferNone) return 1'b1;
    bits = base;
    if (stepped[0]) bits |= stride0;
    if (stepped[1]) bits |= stride1;
    if (stepped[2]) bits |= stride2;
    if (stepped[3]) bits |= stride3;
    mask = 24'((32'(Lanes) << element_log2(dtype)) - 32'd1);
    return (bits & mask) == '0;
  endfunction

  // Which of the four loops are not among the innermost `loops`.
  function automatic logic [3:0] outer_loops(input logic [2:0] loops);
    return 4'b1111 << loops;
  endfunction

  /* verilator lint_off UNUSEDSIGNAL */  // each function looks at a part of the instruction

  // What is wrong with the fields alone; addresses are checked as the loops reach them.
  function automatic error_e check(input vector_t v);
    automatic logic       reduces;
    automatic logic       unscaled;
    automatic logic       illegal;
    automatic logic       reached;
    automatic logic [3:0] loops;
    automatic logic [3:0] outer;
    reduces  = v.reduce_loops != '0 || v.lane_reduce;
    unscaled = v.scale == ScaleModeOff;
    illegal  = v.n0 == '0 || v.n1 == '0 || v.n2 == '0 || v.n3 == '0
        || v.op > VectorOpTranspose || v.reduce > ReduceOpMinimum || v.scale > ScaleModePerLane
        || v.reduce_loops > 3'd4 || v.dst_buffer == BufferNone || !dtype_known(v.dst_dtype)
        || (v.dst2_buffer != BufferNone && !dtype_known(v.dst2_dtype))
        || (v.src1_buffer != BufferNone && !dtype_known(v.src1_dtype))
        || (v.src2_buffer != BufferNone && !dtype_known(v.src2_dtype));
    unique case (v.op)
      VectorOpSelect: illegal |= reduces;
      VectorOpSadd, VectorOpLeaky: illegal |= reduces || unscaled;
      VectorOpTranspose:
        illegal |= reduces || !unscaled || v.n0 != 16'(Lanes) || v.tail_lanes != '0
            || v.src2_buffer != BufferNone;
      default: ;
    endcase
    if (illegal) return ErrorIllegal;

    reached = reachable(v.dst_buffer, v.dst_dtype, 1'b1)
        && reachable(v.dst2_buffer, v.dst2_dtype, 1'b1)
        && reachable(v.src1_buffer, v.src1_dtype, 1'b0)
        && reachable(v.src2_buffer, v.src2_dtype, 1'b0);
    if (!reached) return ErrorLocalRange;

    loops = {v.n3 != 16'd1, v.n2 != 16'd1, v.n1 != 16'd1, v.n0 != 16'd1};
    outer = loops & outer_loops(v.reduce_loops);
    if (!aligned(v.src1_buffer, v.src1_dtype, loops, v.src1_base, v.src1_stride0, v.src1_stride1,
                 v.src1_stride2, v.src1_stride3)
        || !aligned(v.src2_buffer, v.src2_dtype, loops, v.src2_base, v.src2_stride0,
                    v.src2_stride1, v.src2_stride2, v.src2_stride3)
        || !aligned(v.dst_buffer, v.dst_dtype, outer, v.dst_base, v.dst_stride0, v.dst_stride1,
                    v.dst_stride2, v.dst_stride3)
        || !aligned(v.dst2_buffer, v.dst2_dtype, outer, v.dst2_base, v.dst2_stride0,
                    v.dst2_stride1, v.dst2_stride2, v.dst2_stride3)) begin
      return ErrorAlignment;
    end
    return ErrorOk;
  endfunction

  function automatic config_t configure(input vector_t v);
    automatic config_t c;
    c.imm1 = v.imm1;
    c.imm2 = v.imm2;
    c.mult1 = v.mult1;
    c.mult2 = v.mult2;
    c.lo  = v.clamp ? bound(v.lo, v.dst_dtype) : dtype_lowest(v.dst_dtype);
    c.hi  = v.clamp ? bound(v.hi, v.dst_dtype) : dtype_highest(v.dst_dtype);
    c.lo2 = v.clamp ? bound(v.lo, v.dst2_dtype) : dtype_lowest(v.dst2_dtype);
    c.hi2 = v.clamp ? bound(v.hi, v.dst2_dtype) : dtype_highest(v.dst2_dtype);
    c.zero_point = v.zero_point;
    c.shift = v.shift;
    c.tail_lanes = (v.tail_lanes == '0 || v.tail_lanes > 8'(Lanes)) ? 8'(Lanes) : v.tail_lanes;
    c.op = v.op;
    c.reduce = v.reduce;
    c.scale = v.scale;
    c.reduce_loops = v.reduce_loops != '0;
    c.reduce_lanes = v.lane_reduce;
    c.has_src1 = v.src1_buffer != BufferNone;
    c.has_src2 = v.src2_buffer != BufferNone;
    c.has_dst2 = v.dst2_buffer != BufferNone;
    c.split_write = v.dst2_buffer == v.dst_buffer;
    c.dst_buffer = v.dst_buffer;
    c.dst2_buffer = v.dst2_buffer;
    c.dst_dtype = v.dst_dtype;
    c.dst2_dtype = v.dst2_dtype;
    return c;
  endfunction
  /* verilator lint_on UNUSEDSIGNAL */
endpackage
