#include "sim/rtl/job.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "npu_arch.h"

namespace jacquard {

bool ReadJob(std::istream& in, Job* job) {
  *job = Job{};
  job->dram.beat_bytes = kDramBytes;
  job->dram.latency_cycles = kDramLatencyCycles;
  bool begun = false;
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string key;
    if (!(words >> key)) continue;
    begun = true;
    if (key == "job") {
      words >> job->id;
    } else if (key == "image") {
      words >> job->image_offset >> job->image_bytes >> job->image_base >> std::ws;
      std::getline(words, job->image_path);
    } else if (key == "program") {
      words >> job->program;
    } else if (key == "arg") {
      uint32_t number = 8;
      words >> number;
      if (number > 7) throw std::runtime_error("job file: no such argument: " + line);
      words >> job->args[number];
    } else if (key == "max_cycles") {
      words >> job->max_cycles;
    } else if (key == "keep") {
      job->keep = true;
    } else if (key == "latency") {
      words >> job->dram.latency_cycles;
    } else if (key == "stall") {
      words >> job->dram.stall_percent >> job->dram.seed;
    } else if (key == "error_address") {
      job->dram.has_error = true;
      words >> job->dram.error_address;
    } else if (key == "dump") {
      words >> std::ws;
      std::getline(words, job->dump_path);
    } else if (key == "checkpoint") {
      Checkpoint point{};
      words >> point.index >> point.address >> point.size_bytes >> point.dump_offset;
      job->checkpoints.push_back(point);
    } else if (key == "trace") {
      words >> std::ws;
      std::getline(words, job->trace_path);
    } else if (key == "progress") {
      words >> job->progress_hz;
    } else if (key == "run") {
      std::stable_sort(job->checkpoints.begin(), job->checkpoints.end(),
                       [](const Checkpoint& a, const Checkpoint& b) { return a.index < b.index; });
      return true;
    } else {
      throw std::runtime_error("job file: unknown key: " + line);
    }
    if (words.fail()) throw std::runtime_error("job file: bad value: " + line);
  }
  if (begun) throw std::runtime_error("job file: ends without `run`");
  return false;
}

}  // namespace jacquard
