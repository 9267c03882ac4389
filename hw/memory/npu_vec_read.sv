// What VECTOR reads: a vector out of the row that a memory's read register holds, extended to 32
// bits.
//
// Combinational, one per VECTOR port; valid_i, buffer_i, dtype_i and addr_i are of the request
// granted in the cycle before. The output is meaningless where valid_i is 0 (kept at zero: cheap,
// and stable).
`include "npu_macros.svh"

module npu_vec_read
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
#(
  parameter int unsigned IbufWidth = Rows
) (
  input  logic               valid_i,
  input  buffer_e            buffer_i,
  input  dtype_e             dtype_i,
  input  logic [23:0]        addr_i,
  input  logic               obuf_upper_i,
  input  logic [7:0]         ibuf_i [IbufWidth],
  input  logic [7:0]         vmem_i [4][Lanes],
  input  logic [AccBits-1:0] lower_i [Cols],  // halves of OBUF
  input  logic [AccBits-1:0] upper_i [Cols],
  output logic signed [31:0] data_o [Lanes]
);
  /*verilator inline_module*/
  localparam int unsigned BankLsb = $clog2(Lanes);
  logic [31:0] ibuf_first;
  logic [1:0]  bank;  // of the vector's first element
  assign ibuf_first = 32'(addr_i) % IbufWidth;
  assign bank = addr_i[BankLsb+:2];

  always_comb begin : extend
    automatic int unsigned b, l;
    if (!valid_i) begin
      `NPU_FOR(l, Lanes) data_o[l] = 32'sd0; `NPU_END_FOR
    end else if (buffer_i == BufferObuf) begin
      if (obuf_upper_i) begin
        `NPU_FOR(l, Lanes) data_o[l] = signed'(upper_i[l]); `NPU_END_FOR
      end else begin
        `NPU_FOR(l, Lanes) data_o[l] = signed'(lower_i[l]); `NPU_END_FOR
      end
    end else if (buffer_i == BufferIbuf) begin
      if (dtype_i == DtypeS8) begin
        `NPU_FOR(l, Lanes) data_o[l] = 32'(signed'(ibuf_i[ibuf_first+l])); `NPU_END_FOR
      end else begin
        `NPU_FOR(l, Lanes) data_o[l] = signed'(32'(ibuf_i[ibuf_first+l])); `NPU_END_FOR
      end
    end else begin
      unique case (dtype_i)
        DtypeS8: begin
          `NPU_FOR(l, Lanes) data_o[l] = 32'(signed'(vmem_i[bank][l])); `NPU_END_FOR
        end
        DtypeU8: begin
          `NPU_FOR(l, Lanes) data_o[l] = signed'(32'(vmem_i[bank][l])); `NPU_END_FOR
        end
        // Two or four banks side by side; element l of a bank's part begins at its byte 2 l or 4 l.
        DtypeS16: begin
          `NPU_FOR(b, 2)
            `NPU_FOR(l, Lanes / 2)
              data_o[b*Lanes/2+l] = 32'(signed'({vmem_i[{bank[1], b[0]}][2*l+1],
                                                 vmem_i[{bank[1], b[0]}][2*l]}));
            `NPU_END_FOR
          `NPU_END_FOR
        end
        DtypeU16: begin
          `NPU_FOR(b, 2)
            `NPU_FOR(l, Lanes / 2)
              data_o[b*Lanes/2+l] = signed'(32'({vmem_i[{bank[1], b[0]}][2*l+1],
                                                 vmem_i[{bank[1], b[0]}][2*l]}));
            `NPU_END_FOR
          `NPU_END_FOR
        end
        default: begin
          `NPU_FOR(b, 4)
            `NPU_FOR(l, Lanes / 4)
              data_o[b*Lanes/4+l] = signed'({vmem_i[b][4*l+3], vmem_i[b][4*l+2],
                                             vmem_i[b][4*l+1], vmem_i[b][4*l]});
            `NPU_END_FOR
          `NPU_END_FOR
        end
      endcase
    end
  end
endmodule
