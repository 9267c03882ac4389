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
//   8 clamp       + zero point, clamp; to 16 bits in front of a table, else to 32
//   9 look up     TABLE is read
//  10 saturate    interpolation; both destinations' ranges
//  11 write
package npu_vector_pkg;
  import npu_isa_pkg::*;

  localparam int unsigned Lanes = npu_arch_pkg::Lanes;
  localparam int unsigned Stages = 11;
  localparam int unsigned IndexBits = $clog2(Lanes);  // of a lane

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

  // What the lanes need of an instruction. It follows the first iteration down the pipe.
  typedef struct packed {
    logic signed [31:0] imm1;
    logic signed [31:0] imm2;
    logic signed [31:0] mult1;
    logic signed [31:0] mult2;
    logic signed [31:0] bottom;  // clamp, or the range of what follows
    logic signed [31:0] top;
    logic signed [31:0] lo;      // range of dst's type
    logic signed [31:0] hi;
    logic signed [31:0] lo2;     // of dst2's
    logic signed [31:0] hi2;
    logic signed [15:0] zero_point;
    logic [5:0]         shift;
    logic [7:0]         tail_lanes;  // lanes that take part in the last iteration of loop 0
    vector_op_e         op;
    reduce_op_e         reduce;
    scale_mode_e        scale;
    logic               table_;
    logic [3:0]         table_index;
    logic [3:0]         table_shift;
    logic               reduce_loops;  // more than none
    logic               reduce_lanes;
    logic               has_src1;
    logic               has_src2;
    logic               same;  // src2 is src1
    logic               has_dst2;
  } config_t;

  // What an iteration is in its instruction.
  typedef struct packed {
    logic        start;  // the first of all
    logic        fresh;  // of the first reduced group, the one that makes the first result
    logic        first;  // of its group
    logic        last;   // of its group: the result goes on
    logic        tail;   // last of loop 0
    logic        done;   // the last of all
    logic        transpose;
    logic        per_lane;  // PARAM is read
    logic        table_;    // TABLE is read
    logic [15:0] param_row;
  } tag_t;

  // Where an iteration's result goes.
  typedef struct packed {
    logic        has_dst2;
    logic        dst2_in_ibuf;  // else VMEM
    dtype_e      dst2_dtype;
    logic [23:0] dst2;
    logic        dst_in_ibuf;
    dtype_e      dst_dtype;
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

  // What stage 8 clamps to. The clamp's bounds have 16 bits, so they lie in the other two ranges.
  function automatic logic signed [31:0] lower_bound(
    input logic clamp, input logic signed [15:0] lo, input logic looks_up
  );
    if (clamp) return 32'(lo);
    return looks_up ? dtype_lowest(DtypeS16) : dtype_lowest(DtypeS32);
  endfunction

  function automatic logic signed [31:0] upper_bound(
    input logic clamp, input logic signed [15:0] hi, input logic looks_up
  );
    if (clamp) return 32'(hi);
    return looks_up ? dtype_highest(DtypeS16) : dtype_highest(DtypeS32);
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
endpackage
