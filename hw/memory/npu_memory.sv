// All on-chip memories with their ports and arbitration. Ports: hw/README.md.
//
// Reads: MATRIX before VECTOR before STORE (of VMEM by bank, and in turns); writes: VECTOR before
// LOAD. Requests are valid/ready in one cycle; read data follows exactly one cycle after the request
// was granted. A byte written is read by whoever reads in a later cycle.
`include "npu_macros.svh"

module npu_memory
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
(
  input  logic                      clk_i,
  input  logic                      rst_ni,

  input  logic                      load_wr_valid_i,
  output logic                      load_wr_ready_o,
  input  buffer_e                   load_wr_buffer_i,
  input  logic [23:0]               load_wr_addr_i,  // multiple of DramBytes
  input  logic [7:0]                load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0]      load_wr_strb_i,

  input  logic                      store_rd_valid_i,
  output logic                      store_rd_ready_o,
  input  buffer_e                   store_rd_buffer_i,
  input  logic [23:0]               store_rd_addr_i,  // multiple of DramBytes
  output logic [7:0]                store_rd_data_o [DramBytes],

  input  logic [1:0]                vec_rd_valid_i,
  output logic                      vec_rd_ready_o,  // both or none
  input  buffer_e                   vec_rd_buffer_i [2],
  input  logic [23:0]               vec_rd_addr_i [2],
  input  dtype_e                    vec_rd_dtype_i [2],
  output logic signed [31:0]        vec_rd_data_o [2][Lanes],

  input  logic                      vec_param_valid_i,
  input  logic [15:0]               vec_param_row_i,
  output logic signed [31:0]        vec_param_bias_o [Lanes],
  output logic signed [31:0]        vec_param_mult_o [Lanes],

  input  logic                      vec_table_valid_i,
  input  logic [11:0]               vec_table_entry_i [Lanes],
  output logic [31:0]               vec_table_data_o [Lanes],  // held until the next read

  input  logic [1:0]                vec_wr_valid_i,
  output logic                      vec_wr_ready_o,  // both or none; here always
  input  buffer_e                   vec_wr_buffer_i [2],
  input  logic [23:0]               vec_wr_addr_i [2],
  input  dtype_e                    vec_wr_dtype_i [2],
  input  logic signed [31:0]        vec_wr_data_i [2][Lanes],
  input  logic [Lanes-1:0]          vec_wr_mask_i,

  input  logic                      mat_ibuf_valid_i,
  input  logic [19:0]               mat_ibuf_row_i,
  output logic [7:0]                mat_ibuf_data_o [Rows],

  input  logic                      mat_wbuf_valid_i,
  input  logic [19:0]               mat_wbuf_row_i,
  output logic [7:0]                mat_wbuf_data_o [WbufRowBytes],

  input  logic                      mat_obuf_tag_valid_i,
  input  logic                      mat_obuf_first_i,
  input  logic [19:0]               mat_obuf_row_i,
  input  logic signed [AccBits-1:0] mat_obuf_psum_i [Cols]  // of the tag given one cycle before
);
  localparam int unsigned IbufWidth = (Rows > Lanes) ? Rows : Lanes;
  localparam int unsigned IbufRowBits = $clog2(IbufBytes / IbufWidth);
  localparam int unsigned WbufRowBits = $clog2(WbufRows);
  localparam int unsigned ParamRowBits = $clog2(ParamRows);

  // Which of VECTOR's ports names a memory.
  logic [1:0] vec_rd_ibuf, vec_rd_obuf, vec_rd_vmem, vec_wr_ibuf, vec_wr_vmem;
  for (genvar p = 0; p < 2; p++) begin : g_port
    assign vec_rd_ibuf[p] = vec_rd_valid_i[p] && vec_rd_buffer_i[p] == BufferIbuf;
    assign vec_rd_obuf[p] = vec_rd_valid_i[p] && vec_rd_buffer_i[p] == BufferObuf;
    assign vec_rd_vmem[p] = vec_rd_valid_i[p] && vec_rd_buffer_i[p] == BufferVmem;
    assign vec_wr_ibuf[p] = vec_wr_valid_i[p] && vec_wr_buffer_i[p] == BufferIbuf;
    assign vec_wr_vmem[p] = vec_wr_valid_i[p] && vec_wr_buffer_i[p] == BufferVmem;
  end

  // VMEM's banks that hold a vector: one of bytes in one of them, of int16 in two, of int32 in all.
  localparam int unsigned BankLsb = $clog2(Lanes);
  function automatic logic [3:0] vmem_banks(input logic [23:0] addr, input dtype_e dtype);
    unique case (dtype)
      DtypeS8, DtypeU8: return 4'b0001 << addr[BankLsb+:2];
      DtypeS16, DtypeU16: return addr[BankLsb+1] ? 4'b1100 : 4'b0011;
      default: return 4'b1111;
    endcase
  endfunction

  // VMEM's banks have a read port each. Where VECTOR and STORE want the same one VECTOR goes first,
  // but not twice: its passes may read every cycle for long.
  logic [3:0] vec_vmem_banks, store_vmem_banks;
  logic       store_lost_q;
  assign vec_vmem_banks = |vec_rd_vmem
      ? vmem_banks(vec_rd_addr_i[vec_rd_vmem[1]], vec_rd_dtype_i[vec_rd_vmem[1]]) : 4'b0000;
  assign store_vmem_banks = store_rd_valid_i && store_rd_buffer_i != BufferIbuf
      ? vmem_banks(store_rd_addr_i, DtypeU8) : 4'b0000;

  logic vec_rd, obuf_ready, table_ready, store_rd, load_wr;
  assign vec_rd_ready_o = !(|vec_rd_ibuf && mat_ibuf_valid_i) && !(|vec_rd_obuf && !obuf_ready)
      && !(store_lost_q && (vec_vmem_banks & store_vmem_banks) != '0);
  assign vec_rd = |vec_rd_valid_i && vec_rd_ready_o;
  assign store_rd_ready_o = store_rd_buffer_i == BufferIbuf
      ? !mat_ibuf_valid_i && !(vec_rd && |vec_rd_ibuf)
      : !(vec_rd && (vec_vmem_banks & store_vmem_banks) != '0);
  assign store_rd = store_rd_valid_i && store_rd_ready_o;
  assign vec_wr_ready_o = 1'b1;
  assign load_wr_ready_o = !(load_wr_buffer_i == BufferIbuf && |vec_wr_ibuf) &&
                           !(load_wr_buffer_i == BufferVmem && |vec_wr_vmem) &&
                           !(load_wr_buffer_i == BufferTable && !table_ready);
  assign load_wr = load_wr_valid_i && load_wr_ready_o;

  // IBUF
  logic [23:0] ibuf_addr;
  logic [31:0] ibuf_row;
  logic [7:0]  ibuf_data [IbufWidth];
  always_comb begin
    if (mat_ibuf_valid_i) ibuf_row = 32'(mat_ibuf_row_i) / (IbufWidth / Rows);
    else ibuf_row = 32'(ibuf_addr) / IbufWidth;
  end
  assign ibuf_addr = vec_rd && |vec_rd_ibuf ? vec_rd_addr_i[vec_rd_ibuf[1]] : store_rd_addr_i;

  npu_ibuf #(
    .Width(IbufWidth)
  ) u_ibuf (
    .clk_i,
    .rd_i(mat_ibuf_valid_i || (vec_rd && |vec_rd_ibuf) ||
          (store_rd && store_rd_buffer_i == BufferIbuf)),
    .rd_row_i(ibuf_row[IbufRowBits-1:0]),
    .rd_data_o(ibuf_data),
    .mat_rd_i(mat_ibuf_valid_i),
    .mat_row_i(mat_ibuf_row_i),
    .mat_data_o(mat_ibuf_data_o),
    .vec_wr_i(|vec_wr_ibuf),
    .vec_wr_port_i(vec_wr_ibuf[1]),
    .vec_wr_addr_i(vec_wr_addr_i[vec_wr_ibuf[1]]),
    .vec_wr_data_i,
    .vec_wr_mask_i,
    .load_wr_i(load_wr && load_wr_buffer_i == BufferIbuf),
    .load_wr_addr_i,
    .load_wr_data_i,
    .load_wr_strb_i
  );

  // WBUF
  npu_wbuf u_wbuf (
    .clk_i,
    .rd_i(mat_wbuf_valid_i),
    .rd_row_i(mat_wbuf_row_i[WbufRowBits-1:0]),
    .rd_data_o(mat_wbuf_data_o),
    .load_wr_i(load_wr && load_wr_buffer_i == BufferWbuf),
    .load_wr_addr_i,
    .load_wr_data_i,
    .load_wr_strb_i
  );

  // OBUF
  logic [31:0]        obuf_vec_row;
  logic [AccBits-1:0] obuf_lower [Cols];
  logic [AccBits-1:0] obuf_upper [Cols];
  assign obuf_vec_row = 32'(vec_rd_addr_i[vec_rd_obuf[1]]) / ObufRowBytes;

  npu_obuf u_obuf (
    .clk_i,
    .rst_ni,
    .mat_tag_valid_i(mat_obuf_tag_valid_i),
    .mat_first_i(mat_obuf_first_i),
    .mat_row_i(mat_obuf_row_i),
    .psum_i(mat_obuf_psum_i),
    .vec_rd_i(vec_rd && |vec_rd_obuf),
    .vec_row_i(obuf_vec_row[19:0]),
    .vec_ready_o(obuf_ready),
    .lower_o(obuf_lower),
    .upper_o(obuf_upper)
  );

  // VMEM
  logic [7:0] vmem_data [4][Lanes];

  npu_vmem u_vmem (
    .clk_i,
    .vec_rd_i(vec_rd ? vec_vmem_banks : 4'b0000),
    .vec_rd_addr_i(vec_rd_addr_i[vec_rd_vmem[1]]),
    .store_rd_i(store_rd ? store_vmem_banks : 4'b0000),
    .store_rd_addr_i,
    .rd_data_o(vmem_data),
    .vec_wr_i(|vec_wr_vmem
        ? vmem_banks(vec_wr_addr_i[vec_wr_vmem[1]], vec_wr_dtype_i[vec_wr_vmem[1]]) : 4'b0000),
    .vec_wr_port_i(vec_wr_vmem[1]),
    .vec_wr_addr_i(vec_wr_addr_i[vec_wr_vmem[1]]),
    .vec_wr_dtype_i(vec_wr_dtype_i[vec_wr_vmem[1]]),
    .vec_wr_data_i,
    .vec_wr_mask_i,
    .load_wr_i(load_wr && load_wr_buffer_i == BufferVmem
        ? vmem_banks(load_wr_addr_i, DtypeU8) : 4'b0000),
    .load_wr_addr_i,
    .load_wr_data_i,
    .load_wr_strb_i
  );

  // PARAM
  npu_param u_param (
    .clk_i,
    .rd_i(vec_param_valid_i),
    .rd_row_i(vec_param_row_i[ParamRowBits-1:0]),
    .bias_o(vec_param_bias_o),
    .mult_o(vec_param_mult_o),
    .load_wr_i(load_wr && load_wr_buffer_i == BufferParam),
    .load_wr_addr_i,
    .load_wr_data_i,
    .load_wr_strb_i
  );

  // TABLE
  npu_table u_table (
    .clk_i,
    .rst_ni,
    .rd_i(vec_table_valid_i),
    .rd_entry_i(vec_table_entry_i),
    .rd_data_o(vec_table_data_o),
    .load_wr_i(load_wr_valid_i && load_wr_buffer_i == BufferTable),
    .load_ready_o(table_ready),
    .load_wr_addr_i,
    .load_wr_data_i,
    .load_wr_strb_i
  );

  // The requests that were granted, for the data that comes now.
  logic        store_q, store_ibuf_q, obuf_upper_q;
  logic [23:0] store_addr_q;
  logic [1:0]  vec_valid_q;
  buffer_e     vec_buffer_q [2];
  dtype_e      vec_dtype_q [2];
  logic [23:0] vec_addr_q [2];

  always_ff @(posedge clk_i) begin : granted
    if (!rst_ni) begin
      store_q <= 1'b0;
      store_lost_q <= 1'b0;
      vec_valid_q <= 2'b00;
    end else begin
      store_q <= store_rd;
      store_lost_q <= store_vmem_banks != '0 && !store_rd;
      vec_valid_q <= vec_rd ? vec_rd_valid_i : 2'b00;
    end
  end

  always_ff @(posedge clk_i) begin : request
    if (store_rd) begin
      store_ibuf_q <= store_rd_buffer_i == BufferIbuf;
      store_addr_q <= store_rd_addr_i;
    end
    if (vec_rd) begin
      vec_buffer_q <= vec_rd_buffer_i;
      vec_dtype_q <= vec_rd_dtype_i;
      vec_addr_q <= vec_rd_addr_i;
      obuf_upper_q <= obuf_vec_row >= ObufHalfRows;
    end
  end

  for (genvar p = 0; p < 2; p++) begin : g_vec_read
    npu_vec_read #(
      .IbufWidth(IbufWidth)
    ) u_vec_read (
      .valid_i(vec_valid_q[p]),
      .buffer_i(vec_buffer_q[p]),
      .dtype_i(vec_dtype_q[p]),
      .addr_i(vec_addr_q[p]),
      .ibuf_i(ibuf_data),
      .vmem_i(vmem_data),
      .obuf_upper_i(obuf_upper_q),
      .lower_i(obuf_lower),
      .upper_i(obuf_upper),
      .data_o(vec_rd_data_o[p])
    );
  end

  always_comb begin : store_slice
    automatic int unsigned i;
    automatic int unsigned first;
    first = 0;
    if (!store_q) begin
      `NPU_FOR(i, DramBytes) store_rd_data_o[i] = 8'd0; `NPU_END_FOR
    end else if (store_ibuf_q) begin
      first = 32'(store_addr_q) % IbufWidth;
      `NPU_FOR(i, DramBytes) store_rd_data_o[i] = ibuf_data[first+i]; `NPU_END_FOR
    end else begin
      first = 32'(store_addr_q) % Lanes;
      `NPU_FOR(i, DramBytes)
        store_rd_data_o[i] = vmem_data[store_addr_q[$clog2(Lanes)+:2]][first+i];
      `NPU_END_FOR
    end
  end

  logic unused;
  assign unused = ^{ibuf_row[31:IbufRowBits], obuf_vec_row[31:20],
                    mat_wbuf_row_i[19:WbufRowBits], vec_param_row_i[15:ParamRowBits]};

  `NPU_ASSERT(ReadsApart, !(&vec_rd_ibuf || &vec_rd_obuf || &vec_rd_vmem),
              "npu_memory: both reads of VECTOR name the same memory")
  `NPU_ASSERT(WritesApart, !(&vec_wr_ibuf || &vec_wr_vmem),
              "npu_memory: both writes of VECTOR name the same memory")
  `NPU_ASSERT(MatrixIbufInRange, !mat_ibuf_valid_i || mat_ibuf_row_i < 20'(IbufRows),
              "npu_memory: MATRIX names a row outside IBUF")
  `NPU_ASSERT(MatrixWbufInRange, !mat_wbuf_valid_i || mat_wbuf_row_i < 20'(WbufRows),
              "npu_memory: MATRIX names a row outside WBUF")
  `NPU_ASSERT(ParamInRange, !vec_param_valid_i || vec_param_row_i < 16'(ParamRows),
              "npu_memory: VECTOR names a row outside PARAM")
  `NPU_ASSERT(LoadInRange, !load_wr_valid_i || 32'(load_wr_addr_i) < buffer_bytes(load_wr_buffer_i),
              "npu_memory: LOAD writes outside a memory")
  `NPU_ASSERT(StoreInRange,
              !store_rd_valid_i || 32'(store_rd_addr_i) < buffer_bytes(store_rd_buffer_i),
              "npu_memory: STORE reads outside a memory")
endmodule
