// npu_sim JOB_FILE: runs the jobs of a file one after another on the Verilated NPU and prints a
// line of JSON per result (and per progress report) to stdout. All policy is in harness.py.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <stdexcept>

#include "npu_arch.h"
#include "sim/rtl/machine.h"

namespace jacquard {
namespace {

std::runtime_error Failure(const std::string& path, const char* what) {
  return std::runtime_error(path + ": " + what + ": " + std::strerror(errno));
}

// Files of DRAM contents, mapped once for all jobs that use them.
class Images {
 public:
  uint8_t* At(const std::string& path, uint64_t offset, uint64_t size) {
    auto found = maps_.find(path);
    if (found == maps_.end()) found = maps_.emplace(path, Map(path)).first;
    if (offset + size > found->second.size || offset + size < offset) {
      throw std::runtime_error(path + ": shorter than the job says");
    }
    return found->second.data + offset;
  }

 private:
  struct Mapping {
    uint8_t* data;
    uint64_t size;
  };

  static Mapping Map(const std::string& path) {
    const int file = open(path.c_str(), O_RDWR);
    if (file < 0) throw Failure(path, "cannot open");
    struct stat info;
    if (fstat(file, &info)) throw Failure(path, "cannot stat");
    const uint64_t size = static_cast<uint64_t>(info.st_size);
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) throw Failure(path, "cannot map");
    close(file);
    return {static_cast<uint8_t*>(data), size};
  }

  std::map<std::string, Mapping> maps_;
};

void PrintResult(const Job& job, const Result& result) {
  std::printf("{\"job\": \"%s\", \"finished\": %s, \"status\": %u, \"error_index\": %u, "
              "\"fingerprint\": %" PRIu64 ", \"cycles\": %" PRIu64 ", \"counters\": [",
              job.id.c_str(), result.finished ? "true" : "false", result.status,
              result.error_index, result.fingerprint, result.cycles);
  for (uint32_t i = 0; i < kRegCounterCount; i++) {
    std::printf("%s%" PRIu64, i ? ", " : "", result.counters[i]);
  }
  std::printf("], \"fetch_bytes\": %" PRIu64 ", \"load_bytes\": %" PRIu64 ", \"store_bytes\": %"
              PRIu64 ", \"wall_seconds\": %.6f, \"cpu_seconds\": %.6f, \"violation\": \"%s\"}\n",
              result.fetch_bytes, result.load_bytes, result.store_bytes, result.wall_seconds,
              result.cpu_seconds,
              result.violation.c_str());
  std::fflush(stdout);
}

void RunJob(const Job& job, Images* images, Simulator* simulator) {
  uint8_t* image = images->At(job.image_path, job.image_offset, job.image_bytes);
  const int dump = job.dump_path.empty() ? -1 : open(job.dump_path.c_str(), O_RDWR | O_CREAT, 0666);
  if (!job.dump_path.empty() && dump < 0) throw Failure(job.dump_path, "cannot open");
  std::vector<TraceRecord> trace;
  const auto checkpoint = [&](const Checkpoint& point) {
    const uint64_t at = point.address - job.image_base;
    if (at > job.image_bytes || point.size_bytes > job.image_bytes - at) {
      throw std::runtime_error("checkpoint outside DRAM");
    }
    if (pwrite(dump, image + at, point.size_bytes, static_cast<off_t>(point.dump_offset)) !=
        static_cast<ssize_t>(point.size_bytes)) {
      throw Failure(job.dump_path, "cannot write");
    }
  };
  const auto progress = [&](uint64_t cycles, uint32_t retired) {
    std::printf("{\"job\": \"%s\", \"progress_cycles\": %" PRIu64 ", \"retired\": %u}\n",
                job.id.c_str(), cycles, retired);
    std::fflush(stdout);
  };
  const Result result =
      simulator->Run(job, image, job.trace_path.empty() ? nullptr : &trace, checkpoint, progress);
  if (dump >= 0) close(dump);
  if (!job.trace_path.empty()) {
    std::ofstream file(job.trace_path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(trace.data()),
               static_cast<std::streamsize>(trace.size() * sizeof(TraceRecord)));
    if (!file.flush()) throw Failure(job.trace_path, "cannot write");
  }
  PrintResult(job, result);
}

}  // namespace
}  // namespace jacquard

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: npu_sim JOB_FILE (configuration %s)\n", jacquard::kConfig);
    return 2;
  }
  try {
    std::ifstream in(argv[1]);
    if (!in) throw std::runtime_error(std::string(argv[1]) + ": cannot open");
    jacquard::Images images;
    jacquard::Job job;
    jacquard::Simulator simulator;
    while (jacquard::ReadJob(in, &job)) jacquard::RunJob(job, &images, &simulator);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "npu_sim: %s\n", error.what());
    return 1;
  }
  return 0;
}
