#include "sim/rtl/machine.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>

#include "Vnpu_top.h"
#include "Vnpu_top___024root.h"
#include "npu_arch.h"
#include "verilated.h"

// Names of the generated model that are not its published interface; the tool tree pins Verilator.
void Vnpu_top___024root___eval(Vnpu_top___024root* root);

namespace jacquard {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A rising edge costs one evaluation instead of two if the model's memory of the clock is reset:
// nothing happens at falling edges. eval() would add two locks to each.
void RisingEdge(Vnpu_top& top) {
  top.clk_i = 1;
  top.rootp->__Vtrigprevexpr___TOP__clk_i__0 = 0;
  Vnpu_top___024root___eval(top.rootp);
}

}  // namespace

class Machine {
 public:
  Machine() : top_(new Vnpu_top(&context_)) { context_.fatalOnError(false); }

  // Puts a new DRAM behind the masters, whose buses must be quiet.
  void Attach(const Job& job, uint8_t* image) {
    dram_ = std::make_unique<Dram>(job.dram, image, job.image_base, job.image_bytes);
    Vnpu_top* t = top_.get();
    dram_->AttachRead(Dram::kFetch,
                     {t->m_axi_fetch_arvalid_o, t->m_axi_fetch_arready_i, t->m_axi_fetch_araddr_o,
                      t->m_axi_fetch_arlen_o, t->m_axi_fetch_rvalid_i, t->m_axi_fetch_rready_o,
                      &t->m_axi_fetch_rdata_i, t->m_axi_fetch_rresp_i, t->m_axi_fetch_rlast_i});
    dram_->AttachRead(Dram::kLoad,
                     {t->m_axi_load_arvalid_o, t->m_axi_load_arready_i, t->m_axi_load_araddr_o,
                      t->m_axi_load_arlen_o, t->m_axi_load_rvalid_i, t->m_axi_load_rready_o,
                      &t->m_axi_load_rdata_i, t->m_axi_load_rresp_i, t->m_axi_load_rlast_i});
    dram_->AttachWrite({t->m_axi_store_awvalid_o, t->m_axi_store_awready_i, t->m_axi_store_awaddr_o,
                       t->m_axi_store_awlen_o, t->m_axi_store_wvalid_o, t->m_axi_store_wready_i,
                       &t->m_axi_store_wdata_o, &t->m_axi_store_wstrb_o, t->m_axi_store_wlast_o,
                       t->m_axi_store_bvalid_i, t->m_axi_store_bready_o, t->m_axi_store_bresp_i});
  }

  void Reset() {
    top_->rst_ni = 0;
    top_->eval();  // initialises the model
    for (int i = 0; i < 4; i++) Cycle();
    top_->rst_ni = 1;
    Cycle();
  }

  ~Machine() { top_->final(); }

  void Cycle() {
    dram_->Step(now_++);
    RisingEdge(*top_);
  }

  void Write(uint32_t offset, uint32_t value) {
    top_->s_axil_awvalid_i = top_->s_axil_wvalid_i = 1;
    top_->s_axil_awaddr_i = offset;
    top_->s_axil_wdata_i = value;
    top_->s_axil_wstrb_i = 15;
    top_->s_axil_bready_i = 1;
    do Cycle(); while (!top_->s_axil_bvalid_o);
    top_->s_axil_awvalid_i = top_->s_axil_wvalid_i = 0;
    Cycle();
  }

  void Write64(uint32_t offset, uint64_t value) {
    Write(offset, static_cast<uint32_t>(value));
    Write(offset + 4, static_cast<uint32_t>(value >> 32));
  }

  uint32_t Read(uint32_t offset) {
    top_->s_axil_arvalid_i = 1;
    top_->s_axil_araddr_i = offset;
    top_->s_axil_rready_i = 1;
    do Cycle(); while (!top_->s_axil_rvalid_o);
    const uint32_t value = top_->s_axil_rdata_o;
    top_->s_axil_arvalid_i = 0;
    Cycle();
    return value;
  }

  uint64_t Read64(uint32_t offset) {
    const uint64_t low = Read(offset);
    return low | static_cast<uint64_t>(Read(offset + 4)) << 32;
  }

  // Cycles of `engine` so far by bucket, at least kNumBuckets.
  const uint64_t* Buckets(uint32_t engine) const {
    const Vnpu_top___024root& root = *top_->rootp;
    switch (engine) {
      case 0: return &root.npu_top__DOT__u_account__DOT__g_engine__BRA__0__KET____DOT__count_q[0];
      case 1: return &root.npu_top__DOT__u_account__DOT__g_engine__BRA__1__KET____DOT__count_q[0];
      case 2: return &root.npu_top__DOT__u_account__DOT__g_engine__BRA__2__KET____DOT__count_q[0];
      default: return &root.npu_top__DOT__u_account__DOT__g_engine__BRA__3__KET____DOT__count_q[0];
    }
  }

  const Vnpu_top& top() const { return *top_; }
  const Dram& dram() const { return *dram_; }
  bool failed() const { return context_.gotError(); }

 private:
  VerilatedContext context_;
  std::unique_ptr<Vnpu_top> top_;
  std::unique_ptr<Dram> dram_;
  uint64_t now_ = 0;
};

Simulator::Simulator() = default;
Simulator::~Simulator() = default;

Result Simulator::Run(const Job& job, uint8_t* image, std::vector<TraceRecord>* trace,
                      const std::function<void(const Checkpoint&)>& checkpoint,
                      const Progress& progress) {
  const bool fresh = !machine_ || !job.keep;
  if (fresh) machine_ = std::make_unique<Machine>();
  Machine& machine = *machine_;
  machine.Attach(job, image);
  if (fresh) machine.Reset();
  machine.Write(kRegInterruptStatus, 1);
  machine.Write64(kRegProgram, job.program);
  for (uint32_t i = 1; i < kRegArgCount; i++) machine.Write64(kRegArg + 8 * i, job.args[i]);
  machine.Write(kRegInterruptGlobal, 1);
  machine.Write(kRegInterruptEnable, 1);
  machine.Write(kRegControl, 1);

  const Vnpu_top& top = machine.top();
  const auto start = Clock::now();
  const std::clock_t cpu_start = std::clock();
  auto next_progress = start;
  // Starts of instructions in flight per engine, a ring; dispatch keeps at most 16.
  uint64_t starts[kNumEngines][64];
  uint32_t first[kNumEngines] = {}, last[kNumEngines] = {};
  uint64_t counted[kNumEngines][kNumBuckets] = {};  // in the records of the trace
  uint32_t retired = 0;
  uint64_t cycle = 0;
  for (; !top.interrupt_o && cycle < job.max_cycles; cycle++) {
    if (top.trace_start_o | top.trace_done_o) {
      for (uint32_t e = 0; e < kNumEngines; e++) {
        if (top.trace_start_o >> e & 1) starts[e][last[e]++ % 64] = cycle;
        if (!(top.trace_done_o >> e & 1)) continue;
        retired = top.trace_done_index_o[e];
        if (trace) {
          TraceRecord record{e, retired, starts[e][first[e] % 64], cycle, {}};
          const uint64_t* now = machine.Buckets(e);
          for (uint32_t b = 0; b < kNumBuckets; b++) {
            record.buckets[b] = static_cast<uint32_t>(now[b] - counted[e][b]);
            counted[e][b] = now[b];
          }
          trace->push_back(record);
        }
        first[e]++;
        auto point = std::lower_bound(
            job.checkpoints.begin(), job.checkpoints.end(), retired,
            [](const Checkpoint& a, uint32_t index) { return a.index < index; });
        for (; point != job.checkpoints.end() && point->index == retired; ++point) {
          checkpoint(*point);
        }
      }
    }
    machine.Cycle();
    if (cycle % 8192 != 0) continue;
    if (machine.failed()) break;
    if (job.progress_hz > 0 && Clock::now() >= next_progress) {
      progress(cycle, retired);
      next_progress = Clock::now() + std::chrono::microseconds(
                                         static_cast<int64_t>(1e6 / job.progress_hz));
    }
  }

  Result result;
  result.wall_seconds = SecondsSince(start);
  result.cpu_seconds = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  result.finished = top.interrupt_o;
  result.status = machine.Read(kRegStatus);
  result.error_index = machine.Read(kRegErrorIndex);
  result.fingerprint = machine.Read64(kRegFingerprint);
  result.cycles = machine.Read64(kRegCycles);
  for (uint32_t i = 0; i < kRegCounterCount; i++) {
    result.counters[i] = machine.Read64(kRegCounter + 8 * i);
  }
  result.fetch_bytes = machine.dram().read_bytes(Dram::kFetch);
  result.load_bytes = machine.dram().read_bytes(Dram::kLoad);
  result.store_bytes = machine.dram().written_bytes();
  result.violation = machine.dram().violation();
  if (result.violation.empty() && machine.failed()) result.violation = "an assertion failed";
  if (!result.finished || machine.failed()) machine_.reset();
  return result;
}

}  // namespace jacquard
