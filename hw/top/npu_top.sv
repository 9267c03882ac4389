// The NPU: everything behind three AXI4 masters and one AXI4-Lite slave. Wiring only.

module npu_top
  import npu_isa_pkg::*;
  import npu_arch_pkg::DramBytes;
  import npu_arch_pkg::Lanes;
  import npu_arch_pkg::Rows;
  import npu_arch_pkg::Cols;
  import npu_arch_pkg::WbufRowBytes;
  import npu_arch_pkg::AccBits;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   s_axil_awvalid_i,
  output logic                   s_axil_awready_o,
  input  logic [11:0]            s_axil_awaddr_i,
  input  logic                   s_axil_wvalid_i,
  output logic                   s_axil_wready_o,
  input  logic [31:0]            s_axil_wdata_i,
  input  logic [3:0]             s_axil_wstrb_i,
  output logic                   s_axil_bvalid_o,
  input  logic                   s_axil_bready_i,
  output logic [1:0]             s_axil_bresp_o,
  input  logic                   s_axil_arvalid_i,
  output logic                   s_axil_arready_o,
  input  logic [11:0]            s_axil_araddr_i,
  output logic                   s_axil_rvalid_o,
  input  logic                   s_axil_rready_i,
  output logic [31:0]            s_axil_rdata_o,
  output logic [1:0]             s_axil_rresp_o,
  output logic                   interrupt_o,

  output logic                   m_axi_fetch_arvalid_o,
  input  logic                   m_axi_fetch_arready_i,
  output logic [63:0]            m_axi_fetch_araddr_o,
  output logic [7:0]             m_axi_fetch_arlen_o,
  output logic [2:0]             m_axi_fetch_arsize_o,
  output logic [1:0]             m_axi_fetch_arburst_o,
  output logic [0:0]             m_axi_fetch_arid_o,
  output logic [3:0]             m_axi_fetch_arcache_o,
  output logic [2:0]             m_axi_fetch_arprot_o,
  input  logic                   m_axi_fetch_rvalid_i,
  output logic                   m_axi_fetch_rready_o,
  input  logic [8*DramBytes-1:0] m_axi_fetch_rdata_i,
  input  logic [1:0]             m_axi_fetch_rresp_i,
  input  logic                   m_axi_fetch_rlast_i,

  output logic                   m_axi_load_arvalid_o,
  input  logic                   m_axi_load_arready_i,
  output logic [63:0]            m_axi_load_araddr_o,
  output logic [7:0]             m_axi_load_arlen_o,
  output logic [2:0]             m_axi_load_arsize_o,
  output logic [1:0]             m_axi_load_arburst_o,
  output logic [0:0]             m_axi_load_arid_o,
  output logic [3:0]             m_axi_load_arcache_o,
  output logic [2:0]             m_axi_load_arprot_o,
  input  logic                   m_axi_load_rvalid_i,
  output logic                   m_axi_load_rready_o,
  input  logic [8*DramBytes-1:0] m_axi_load_rdata_i,
  input  logic [1:0]             m_axi_load_rresp_i,
  input  logic                   m_axi_load_rlast_i,

  output logic                   m_axi_store_awvalid_o,
  input  logic                   m_axi_store_awready_i,
  output logic [63:0]            m_axi_store_awaddr_o,
  output logic [7:0]             m_axi_store_awlen_o,
  output logic [2:0]             m_axi_store_awsize_o,
  output logic [1:0]             m_axi_store_awburst_o,
  output logic [0:0]             m_axi_store_awid_o,
  output logic [3:0]             m_axi_store_awcache_o,
  output logic [2:0]             m_axi_store_awprot_o,
  output logic                   m_axi_store_wvalid_o,
  input  logic                   m_axi_store_wready_i,
  output logic [8*DramBytes-1:0] m_axi_store_wdata_o,
  output logic [DramBytes-1:0]   m_axi_store_wstrb_o,
  output logic                   m_axi_store_wlast_o,
  input  logic                   m_axi_store_bvalid_i,
  output logic                   m_axi_store_bready_o,
  input  logic [1:0]             m_axi_store_bresp_i,

  // For simulators: an instruction left its queue; has finished.
  output logic [3:0]             trace_start_o,
  output logic [31:0]            trace_start_index_o [NumEngines],
  output logic [3:0]             trace_done_o,
  output logic [31:0]            trace_done_index_o [NumEngines]
);
  localparam logic [2:0] Size = 3'($clog2(DramBytes));
  localparam logic [1:0] Incr = 2'b01;
  localparam logic [3:0] Bufferable = 4'b0011;

  assign m_axi_fetch_arsize_o = Size;
  assign m_axi_fetch_arburst_o = Incr;
  assign m_axi_fetch_arid_o = '0;
  assign m_axi_fetch_arcache_o = Bufferable;
  assign m_axi_fetch_arprot_o = '0;
  assign m_axi_load_arsize_o = Size;
  assign m_axi_load_arburst_o = Incr;
  assign m_axi_load_arid_o = '0;
  assign m_axi_load_arcache_o = Bufferable;
  assign m_axi_load_arprot_o = '0;
  assign m_axi_store_awsize_o = Size;
  assign m_axi_store_awburst_o = Incr;
  assign m_axi_store_awid_o = '0;
  assign m_axi_store_awcache_o = Bufferable;
  assign m_axi_store_awprot_o = '0;

  // Control.
  logic        go, clear, start, running, halt, done;
  logic [63:0] program_addr, cycles, counter;
  logic [63:0] arg [RegArgCount];
  logic [3:0]  status;
  logic [31:0] error_index;
  logic        counter_read;
  logic [5:0]  counter_index;
  npu_regs u_regs (
    .clk_i, .rst_ni,
    .s_axil_awvalid_i, .s_axil_awready_o, .s_axil_awaddr_i, .s_axil_wvalid_i, .s_axil_wready_o,
    .s_axil_wdata_i, .s_axil_wstrb_i, .s_axil_bvalid_o, .s_axil_bready_i, .s_axil_bresp_o,
    .s_axil_arvalid_i, .s_axil_arready_o, .s_axil_araddr_i, .s_axil_rvalid_o, .s_axil_rready_i,
    .s_axil_rdata_o, .s_axil_rresp_o,
    .go_o(go), .program_o(program_addr), .arg_o(arg), .running_i(running), .done_i(done),
    .status_i(status), .error_index_i(error_index), .cycles_i(cycles),
    .counter_read_o(counter_read), .counter_index_o(counter_index), .counter_i(counter),
    .interrupt_o
  );

  logic                 fetch_valid, fetch_ready, fetch_end, fetch_quiet;
  logic [InstrBits-1:0] fetch_instr;
  engine_e              fetch_engine;
  logic [31:0]          fetch_index;
  logic                 fetch_error;
  logic [3:0]           fetch_code, error_valid;
  logic [3:0]           error_code [NumEngines];
  logic [31:0]          error_at [NumEngines];
  npu_fetch u_fetch (
    .clk_i, .rst_ni, .clear_i(clear), .halt_i(halt), .start_i(start), .program_i(program_addr),
    .instr_valid_o(fetch_valid), .instr_ready_i(fetch_ready), .instr_o(fetch_instr),
    .instr_engine_o(fetch_engine), .end_o(fetch_end),
    .error_valid_o(fetch_error), .error_code_o(fetch_code), .index_o(fetch_index),
    .quiet_o(fetch_quiet),
    .m_axi_arvalid_o(m_axi_fetch_arvalid_o), .m_axi_arready_i(m_axi_fetch_arready_i),
    .m_axi_araddr_o(m_axi_fetch_araddr_o), .m_axi_arlen_o(m_axi_fetch_arlen_o),
    .m_axi_rvalid_i(m_axi_fetch_rvalid_i), .m_axi_rready_o(m_axi_fetch_rready_o),
    .m_axi_rdata_i(m_axi_fetch_rdata_i), .m_axi_rresp_i(m_axi_fetch_rresp_i)
  );

  logic [3:0]           instr_valid, instr_ready, engine_done, busy, waiting, flying;
  logic [InstrBits-1:0] instr [NumEngines];
  logic [31:0]          instr_index [NumEngines];
  logic [1:0]           blocked [NumEngines];
  logic [3:0]           missing [NumEngines];
  logic [31:0]          oldest [NumEngines];
  npu_dispatch u_dispatch (
    .clk_i, .rst_ni, .clear_i(clear), .halt_i(halt),
    .fetch_valid_i(fetch_valid), .fetch_ready_o(fetch_ready), .fetch_instr_i(fetch_instr),
    .fetch_engine_i(fetch_engine), .fetch_index_i(fetch_index),
    .instr_valid_o(instr_valid), .instr_ready_i(instr_ready), .instr_o(instr),
    .instr_index_o(instr_index), .done_i(engine_done),
    .waiting_o(waiting), .missing_o(missing), .flying_o(flying), .oldest_o(oldest),
    .issue_o(trace_start_o), .retire_o(trace_done_o), .retire_index_o(trace_done_index_o)
  );
  assign trace_start_index_o = instr_index;

  logic beat;
  assign beat = (m_axi_load_rvalid_i && m_axi_load_rready_o)
      || (m_axi_store_wvalid_o && m_axi_store_wready_i)
      || (m_axi_fetch_rvalid_i && m_axi_fetch_rready_o);
  npu_account u_account (
    .clk_i, .rst_ni, .clear_i(clear), .running_i(running), .busy_i(busy), .blocked_i(blocked),
    .flying_i(flying), .waiting_i(waiting), .missing_i(missing), .beat_i(beat),
    .read_i(counter_read), .read_index_i(counter_index), .read_o(counter)
  );

  logic load_quiet, store_quiet;
  npu_run u_run (
    .clk_i, .rst_ni, .go_i(go), .clear_o(clear), .start_o(start), .running_o(running),
    .halt_o(halt), .done_o(done), .end_i(fetch_end), .fetch_valid_i(fetch_valid),
    .waiting_i(waiting), .flying_i(flying), .retire_i(trace_done_o), .oldest_i(oldest),
    .fetch_index_i(fetch_index), .quiet_i(fetch_quiet && load_quiet && store_quiet),
    .error_valid_i(error_valid), .error_code_i(error_code), .error_index_i(error_at),
    .fetch_error_i(fetch_error), .fetch_code_i(fetch_code),
    .status_o(status), .error_index_o(error_index), .cycles_o(cycles)
  );

  // Engines.
  logic                 load_wr_valid, load_wr_ready;
  buffer_e              load_wr_buffer;
  logic [23:0]          load_wr_addr;
  logic [7:0]           load_wr_data [DramBytes];
  logic [DramBytes-1:0] load_wr_strb;
  npu_load u_load (
    .clk_i, .rst_ni, .clear_i(clear), .halt_i(halt), .arg_i(arg),
    .instr_valid_i(instr_valid[EngineLoad]), .instr_ready_o(instr_ready[EngineLoad]),
    .instr_i(instr[EngineLoad]), .instr_index_i(instr_index[EngineLoad]),
    .done_o(engine_done[EngineLoad]), .error_valid_o(error_valid[EngineLoad]),
    .error_code_o(error_code[EngineLoad]), .error_index_o(error_at[EngineLoad]),
    .busy_o(busy[EngineLoad]), .blocked_o(blocked[EngineLoad]), .quiet_o(load_quiet),
    .load_wr_valid_o(load_wr_valid), .load_wr_ready_i(load_wr_ready),
    .load_wr_buffer_o(load_wr_buffer), .load_wr_addr_o(load_wr_addr),
    .load_wr_data_o(load_wr_data), .load_wr_strb_o(load_wr_strb),
    .m_axi_arvalid_o(m_axi_load_arvalid_o), .m_axi_arready_i(m_axi_load_arready_i),
    .m_axi_araddr_o(m_axi_load_araddr_o), .m_axi_arlen_o(m_axi_load_arlen_o),
    .m_axi_rvalid_i(m_axi_load_rvalid_i), .m_axi_rready_o(m_axi_load_rready_o),
    .m_axi_rdata_i(m_axi_load_rdata_i), .m_axi_rresp_i(m_axi_load_rresp_i),
    .m_axi_rlast_i(m_axi_load_rlast_i)
  );

  logic                      mat_ibuf_valid, mat_wbuf_valid, mat_obuf_tag_valid, mat_obuf_first;
  logic [19:0]               mat_ibuf_row, mat_wbuf_row, mat_obuf_row;
  logic [7:0]                mat_ibuf_data [Rows];
  logic [7:0]                mat_wbuf_data [WbufRowBytes];
  logic signed [AccBits-1:0] mat_obuf_psum [Cols];
  npu_matrix u_matrix (
    .clk_i, .rst_ni, .clear_i(clear), .halt_i(halt),
    .instr_valid_i(instr_valid[EngineMatrix]), .instr_ready_o(instr_ready[EngineMatrix]),
    .instr_i(instr[EngineMatrix]), .instr_index_i(instr_index[EngineMatrix]),
    .done_o(engine_done[EngineMatrix]), .error_valid_o(error_valid[EngineMatrix]),
    .error_code_o(error_code[EngineMatrix]), .error_index_o(error_at[EngineMatrix]),
    .busy_o(busy[EngineMatrix]), .blocked_o(blocked[EngineMatrix]),
    .mat_ibuf_valid_o(mat_ibuf_valid), .mat_ibuf_row_o(mat_ibuf_row),
    .mat_ibuf_data_i(mat_ibuf_data), .mat_wbuf_valid_o(mat_wbuf_valid),
    .mat_wbuf_row_o(mat_wbuf_row), .mat_wbuf_data_i(mat_wbuf_data),
    .mat_obuf_tag_valid_o(mat_obuf_tag_valid), .mat_obuf_first_o(mat_obuf_first),
    .mat_obuf_row_o(mat_obuf_row), .mat_obuf_psum_o(mat_obuf_psum)
  );

  logic [1:0]         vec_rd_valid, vec_wr_valid;
  logic               vec_rd_ready, vec_wr_ready, vec_param_valid;
  buffer_e            vec_rd_buffer [2];
  buffer_e            vec_wr_buffer [2];
  logic [23:0]        vec_rd_addr [2];
  logic [23:0]        vec_wr_addr [2];
  dtype_e             vec_rd_dtype [2];
  dtype_e             vec_wr_dtype [2];
  logic signed [31:0] vec_rd_data [2][Lanes];
  logic signed [31:0] vec_wr_data [2][Lanes];
  logic [15:0]        vec_param_row;
  logic signed [31:0] vec_param_bias [Lanes];
  logic signed [31:0] vec_param_mult [Lanes];
  logic               vec_table_valid;
  logic [11:0]        vec_table_entry [Lanes];
  logic [31:0]        vec_table_data [Lanes];
  logic [Lanes-1:0]   vec_wr_mask;
  npu_vector u_vector (
    .clk_i, .rst_ni, .clear_i(clear), .halt_i(halt),
    .instr_valid_i(instr_valid[EngineVector]), .instr_ready_o(instr_ready[EngineVector]),
    .instr_i(instr[EngineVector]), .instr_index_i(instr_index[EngineVector]),
    .done_o(engine_done[EngineVector]), .error_valid_o(error_valid[EngineVector]),
    .error_code_o(error_code[EngineVector]), .error_index_o(error_at[EngineVector]),
    .busy_o(busy[EngineVector]), .blocked_o(blocked[EngineVector]),
    .vec_rd_valid_o(vec_rd_valid), .vec_rd_ready_i(vec_rd_ready),
    .vec_rd_buffer_o(vec_rd_buffer), .vec_rd_addr_o(vec_rd_addr), .vec_rd_dtype_o(vec_rd_dtype),
    .vec_rd_data_i(vec_rd_data), .vec_param_valid_o(vec_param_valid),
    .vec_param_row_o(vec_param_row), .vec_param_bias_i(vec_param_bias),
    .vec_param_mult_i(vec_param_mult), .vec_table_valid_o(vec_table_valid),
    .vec_table_entry_o(vec_table_entry), .vec_table_data_i(vec_table_data),
    .vec_wr_valid_o(vec_wr_valid),
    .vec_wr_ready_i(vec_wr_ready), .vec_wr_buffer_o(vec_wr_buffer), .vec_wr_addr_o(vec_wr_addr),
    .vec_wr_dtype_o(vec_wr_dtype), .vec_wr_data_o(vec_wr_data), .vec_wr_mask_o(vec_wr_mask)
  );

  logic        store_rd_valid, store_rd_ready;
  buffer_e     store_rd_buffer;
  logic [23:0] store_rd_addr;
  logic [7:0]  store_rd_data [DramBytes];
  npu_store u_store (
    .clk_i, .rst_ni, .clear_i(clear), .halt_i(halt), .arg_i(arg),
    .instr_valid_i(instr_valid[EngineStore]), .instr_ready_o(instr_ready[EngineStore]),
    .instr_i(instr[EngineStore]), .instr_index_i(instr_index[EngineStore]),
    .done_o(engine_done[EngineStore]), .error_valid_o(error_valid[EngineStore]),
    .error_code_o(error_code[EngineStore]), .error_index_o(error_at[EngineStore]),
    .busy_o(busy[EngineStore]), .blocked_o(blocked[EngineStore]), .quiet_o(store_quiet),
    .store_rd_valid_o(store_rd_valid), .store_rd_ready_i(store_rd_ready),
    .store_rd_buffer_o(store_rd_buffer), .store_rd_addr_o(store_rd_addr),
    .store_rd_data_i(store_rd_data),
    .m_axi_awvalid_o(m_axi_store_awvalid_o), .m_axi_awready_i(m_axi_store_awready_i),
    .m_axi_awaddr_o(m_axi_store_awaddr_o), .m_axi_awlen_o(m_axi_store_awlen_o),
    .m_axi_wvalid_o(m_axi_store_wvalid_o), .m_axi_wready_i(m_axi_store_wready_i),
    .m_axi_wdata_o(m_axi_store_wdata_o), .m_axi_wstrb_o(m_axi_store_wstrb_o),
    .m_axi_wlast_o(m_axi_store_wlast_o), .m_axi_bvalid_i(m_axi_store_bvalid_i),
    .m_axi_bready_o(m_axi_store_bready_o), .m_axi_bresp_i(m_axi_store_bresp_i)
  );

  npu_memory u_memory (
    .clk_i, .rst_ni,
    .load_wr_valid_i(load_wr_valid), .load_wr_ready_o(load_wr_ready),
    .load_wr_buffer_i(load_wr_buffer), .load_wr_addr_i(load_wr_addr),
    .load_wr_data_i(load_wr_data), .load_wr_strb_i(load_wr_strb),
    .store_rd_valid_i(store_rd_valid), .store_rd_ready_o(store_rd_ready),
    .store_rd_buffer_i(store_rd_buffer), .store_rd_addr_i(store_rd_addr),
    .store_rd_data_o(store_rd_data),
    .vec_rd_valid_i(vec_rd_valid), .vec_rd_ready_o(vec_rd_ready),
    .vec_rd_buffer_i(vec_rd_buffer), .vec_rd_addr_i(vec_rd_addr), .vec_rd_dtype_i(vec_rd_dtype),
    .vec_rd_data_o(vec_rd_data), .vec_param_valid_i(vec_param_valid),
    .vec_param_row_i(vec_param_row), .vec_param_bias_o(vec_param_bias),
    .vec_param_mult_o(vec_param_mult), .vec_table_valid_i(vec_table_valid),
    .vec_table_entry_i(vec_table_entry), .vec_table_data_o(vec_table_data),
    .vec_wr_valid_i(vec_wr_valid),
    .vec_wr_ready_o(vec_wr_ready), .vec_wr_buffer_i(vec_wr_buffer), .vec_wr_addr_i(vec_wr_addr),
    .vec_wr_dtype_i(vec_wr_dtype), .vec_wr_data_i(vec_wr_data), .vec_wr_mask_i(vec_wr_mask),
    .mat_ibuf_valid_i(mat_ibuf_valid), .mat_ibuf_row_i(mat_ibuf_row),
    .mat_ibuf_data_o(mat_ibuf_data), .mat_wbuf_valid_i(mat_wbuf_valid),
    .mat_wbuf_row_i(mat_wbuf_row), .mat_wbuf_data_o(mat_wbuf_data),
    .mat_obuf_tag_valid_i(mat_obuf_tag_valid), .mat_obuf_first_i(mat_obuf_first),
    .mat_obuf_row_i(mat_obuf_row), .mat_obuf_psum_i(mat_obuf_psum)
  );

  logic unused_rlast;
  assign unused_rlast = m_axi_fetch_rlast_i;
endmodule
