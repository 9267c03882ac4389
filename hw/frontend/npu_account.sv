// Puts each cycle of a run into exactly one bucket per engine (docs/machine.md, Counters).

module npu_account
  import npu_isa_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        clear_i,
  input  logic        running_i,
  input  logic [3:0]  busy_i,
  input  logic [1:0]  blocked_i [NumEngines],
  input  logic [3:0]  flying_i,
  input  logic [3:0]  waiting_i,
  input  logic [3:0]  missing_i [NumEngines],
  input  logic        beat_i,         // a beat moves on the DRAM bus, whoever's
  input  logic        read_i,         // the host looks at a counter
  input  logic [5:0]  read_index_i,   // engine * NumBuckets + bucket
  output logic [63:0] read_o
);
  localparam logic [1:0] BlockedDram = 2'd1;
  localparam logic [1:0] BlockedPort = 2'd2;

  logic [63:0] read [NumEngines];
  assign read_o = read[0] | read[1] | read[2] | read[3];

  for (genvar e = 0; e < NumEngines; e++) begin : g_engine
    localparam logic [5:0] First = 6'(e * NumBuckets);
    // By bucket. Simulators read them whenever an instruction has finished.
    logic [63:0] count_q [16] /*verilator public_flat_rd*/;
    // Indices below First wrap to large ones.
    assign read[e] = read_i && 6'(read_index_i - First) < 6'(NumBuckets)
                     ? count_q[4'(read_index_i - First)] : '0;

    always_ff @(posedge clk_i) begin : count
      automatic bucket_e bucket;
      if (!rst_ni || clear_i) begin
        count_q <= '{default: '0};
      end else if (running_i) begin
        if (busy_i[e]) bucket = BucketBusy;
        else if (blocked_i[e] == BlockedDram && beat_i) bucket = BucketDramBandwidth;
        else if (blocked_i[e] == BlockedDram) bucket = BucketDramLatency;
        else if (blocked_i[e] == BlockedPort) bucket = BucketPort;
        else if (flying_i[e]) bucket = BucketDrain;
        else if (!waiting_i[e]) bucket = BucketEmpty;
        else if (missing_i[e][EngineLoad]) bucket = BucketWaitLoad;
        else if (missing_i[e][EngineMatrix]) bucket = BucketWaitMatrix;
        else if (missing_i[e][EngineVector]) bucket = BucketWaitVector;
        else if (missing_i[e][EngineStore]) bucket = BucketWaitStore;
        else bucket = BucketDrain;
        count_q[bucket] <= count_q[bucket] + 64'd1;
      end
    end
  end
endmodule
