// For the unit test only: MATRIX and all memories, with the other engines' ports at the pins.
module npu_matrix_bench
  import npu_arch_pkg::*;
  import npu_isa_pkg::*;
(
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,
  input  logic                 halt_i,

  input  logic                 instr_valid_i,
  output logic                 instr_ready_o,
  input  logic [InstrBits-1:0] instr_i,
  input  logic [31:0]          instr_index_i,
  output logic                 done_o,
  output logic                 error_valid_o,
  output logic [3:0]           error_code_o,
  output logic [31:0]          error_index_o,
  output logic                 busy_o,
  output logic [1:0]           blocked_o,

  input  logic                 load_wr_valid_i,
  output logic                 load_wr_ready_o,
  input  buffer_e              load_wr_buffer_i,
  input  logic [23:0]          load_wr_addr_i,
  input  logic [7:0]           load_wr_data_i [DramBytes],
  input  logic [DramBytes-1:0] load_wr_strb_i,

  input  logic                 store_rd_valid_i,
  output logic                 store_rd_ready_o,
  input  buffer_e              store_rd_buffer_i,
  input  logic [23:0]          store_rd_addr_i,
  output logic [7:0]           store_rd_data_o [DramBytes],

  input  logic [1:0]           vec_rd_valid_i,
  output logic                 vec_rd_ready_o,
  input  buffer_e              vec_rd_buffer_i [2],
  input  logic [23:0]          vec_rd_addr_i [2],
  input  dtype_e               vec_rd_dtype_i [2],
  output logic signed [31:0]   vec_rd_data_o [2][Lanes],

  input  logic                 vec_param_valid_i,
  input  logic [15:0]          vec_param_row_i,
  output logic signed [31:0]   vec_param_bias_o [Lanes],
  output logic signed [31:0]   vec_param_mult_o [Lanes],

  input  logic                 vec_table_valid_i,
  input  logic [11:0]          vec_table_entry_i [Lanes],
  output logic [31:0]          vec_table_data_o [Lanes],

  input  logic [1:0]           vec_wr_valid_i,
  output logic                 vec_wr_ready_o,
  input  buffer_e              vec_wr_buffer_i [2],
  input  logic [23:0]          vec_wr_addr_i [2],
  input  dtype_e               vec_wr_dtype_i [2],
  input  logic signed [31:0]   vec_wr_data_i [2][Lanes],
  input  logic [Lanes-1:0]     vec_wr_mask_i
);
  logic                      mat_ibuf_valid, mat_wbuf_valid, mat_obuf_tag_valid, mat_obuf_first;
  logic [19:0]               mat_ibuf_row, mat_wbuf_row, mat_obuf_row;
  logic [7:0]                mat_ibuf_data [Rows];
  logic [7:0]                mat_wbuf_data [WbufRowBytes];
  logic signed [AccBits-1:0] mat_obuf_psum [Cols];

  npu_matrix u_matrix (
    .mat_ibuf_valid_o(mat_ibuf_valid),
    .mat_ibuf_row_o(mat_ibuf_row),
    .mat_ibuf_data_i(mat_ibuf_data),
    .mat_wbuf_valid_o(mat_wbuf_valid),
    .mat_wbuf_row_o(mat_wbuf_row),
    .mat_wbuf_data_i(mat_wbuf_data),
    .mat_obuf_tag_valid_o(mat_obuf_tag_valid),
    .mat_obuf_first_o(mat_obuf_first),
    .mat_obuf_row_o(mat_obuf_row),
    .mat_obuf_psum_o(mat_obuf_psum),
    .*
  );

  npu_memory u_memory (
    .mat_ibuf_valid_i(mat_ibuf_valid),
    .mat_ibuf_row_i(mat_ibuf_row),
    .mat_ibuf_data_o(mat_ibuf_data),
    .mat_wbuf_valid_i(mat_wbuf_valid),
    .mat_wbuf_row_i(mat_wbuf_row),
    .mat_wbuf_data_o(mat_wbuf_data),
    .mat_obuf_tag_valid_i(mat_obuf_tag_valid),
    .mat_obuf_first_i(mat_obuf_first),
    .mat_obuf_row_i(mat_obuf_row),
    .mat_obuf_psum_i(mat_obuf_psum),
    .*
  );
endmodule
