// Measures a model inside an app, as the app runs it, and writes what `nagsdk verify DIR --probe FILE` reads. Needs only
// C++17 and its standard library.
//
//     nagsdk::Facts facts;
//     facts.threads = 1;
//     nagsdk::probe("nagsdk-probe.json", "ml/classifier/model.onnx", facts,
//                   [&] { session.emplace(environment, path, options); }, [&] { session->Run(...); });
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace nagsdk {

// What is recorded as it is, since it explains differences; what is left at its default is not written.
struct Facts {
  int threads = 0;
  std::string accelerator;  // CPU, GPU or NPU
  std::string runtime;      // such as onnxruntime 1.22
  std::string device;       // model of the phone or computer
  std::string system;
  int thermal_before = -1, thermal_after = -1;  // Android's thermal status, 0 to 6
#ifdef NDEBUG
  bool debuggable = false;
#else
  bool debuggable = true;
#endif
};

namespace detail {

inline std::uint32_t rotated(std::uint32_t value, int by) { return (value >> by) | (value << (32 - by)); }

inline std::string quoted(const std::string& value) {
  std::string out = "\"";
  for (const char c : value.substr(0, 200)) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 32 ? ' ' : c;
  }
  return out + '"';
}

inline std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Memory that this process holds, in 10^6 bytes; 0 where the system does not tell it like Linux.
inline double resident_mb() {
  std::istringstream lines(read("/proc/self/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stod(line.substr(6)) * 1024 / 1e6;
  }
  return 0;
}

}  // namespace detail

// SHA-256 of bytes, in hexadecimal.
inline std::string sha256(std::string bytes) {
  constexpr std::array<std::uint32_t, 64> constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  std::array<std::uint32_t, 8> state{
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const std::uint64_t bits = static_cast<std::uint64_t>(bytes.size()) * 8;
  bytes += '\x80';
  while (bytes.size() % 64 != 56) bytes += '\0';
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(bits >> shift & 255);
  for (std::size_t block = 0; block < bytes.size(); block += 64) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 64; ++i) w[i / 4] = (w[i / 4] << 8) | static_cast<unsigned char>(bytes[block + i]);
    for (std::size_t i = 16; i < 64; ++i) {
      const auto a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (detail::rotated(a, 7) ^ detail::rotated(a, 18) ^ (a >> 3)) +
             (detail::rotated(b, 17) ^ detail::rotated(b, 19) ^ (b >> 10));
    }
    auto s = state;
    for (std::size_t i = 0; i < 64; ++i) {
      const auto one = s[7] + (detail::rotated(s[4], 6) ^ detail::rotated(s[4], 11) ^ detail::rotated(s[4], 25)) +
                       ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
      const auto two = (detail::rotated(s[0], 2) ^ detail::rotated(s[0], 13) ^ detail::rotated(s[0], 22)) +
                       ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
      std::rotate(s.begin(), s.end() - 1, s.end());
      s[4] += one;
      s[0] = one + two;
    }
    for (std::size_t i = 0; i < 8; ++i) state[i] += s[i];
  }
  std::ostringstream out;
  for (const auto word : state) out << std::hex << std::setw(8) << std::setfill('0') << word;
  return out.str();
}

// Loads the model with `load`, runs it with `run`, and writes the figures to `file`.
//
// model: the model's file, whose SHA-256 is written.
template <typename Load, typename Run>
void probe(const std::string& file, const std::string& model, const Facts& facts, Load load, Run run, int runs = 200) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  };
  const std::string bytes = detail::read(model);
  if (bytes.empty()) throw std::runtime_error("The model's file cannot be read: " + model);
  const double before = detail::resident_mb();
  auto start = Clock::now();
  load();
  const double init = since(start);
  std::vector<double> times;
  for (int i = 0; i <= runs; ++i) {
    start = Clock::now();
    run();
    times.push_back(since(start));
  }
  const double memory = detail::resident_mb() - before;
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << "{\"format\": 1, \"model_sha256\": \"" << sha256(bytes) << "\", \"init_ms\": " << init
      << ", \"first_inference_ms\": " << times[0] << ", \"debuggable\": " << (facts.debuggable ? "true" : "false");
  if (before > 0 && memory > 0) out << ", \"memory_mb\": " << memory;
  if (facts.threads > 0) out << ", \"threads\": " << facts.threads;
  if (facts.thermal_before >= 0) out << ", \"thermal_before\": " << facts.thermal_before;
  if (facts.thermal_after >= 0) out << ", \"thermal_after\": " << facts.thermal_after;
  if (!facts.accelerator.empty()) out << ", \"accelerator\": " << detail::quoted(facts.accelerator);
  if (!facts.runtime.empty()) out << ", \"runtime\": " << detail::quoted(facts.runtime);
  if (!facts.device.empty()) out << ", \"device\": " << detail::quoted(facts.device);
  if (!facts.system.empty()) out << ", \"system\": " << detail::quoted(facts.system);
  std::string cpuset = detail::read("/proc/self/cpuset");
  cpuset.erase(std::remove(cpuset.begin(), cpuset.end(), '\n'), cpuset.end());
  if (!cpuset.empty()) out << ", \"cpuset\": " << detail::quoted(cpuset);
  out << ", \"latencies_ms\": [";
  for (std::size_t i = 1; i < times.size(); ++i) out << (i > 1 ? ", " : "") << times[i];
  out << "]}\n";
  std::ofstream written(file, std::ios::binary);
  if (!(written << out.str()) || !written.flush()) throw std::runtime_error("The file cannot be written: " + file);
}

}  // namespace nagsdk
