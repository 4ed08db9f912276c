// Loads a deployment (model.onnx, manifest.json, labels.txt) with ONNX Runtime's C++ API and runs its self-test.
// Needs ONNX Runtime and nlohmann/json:
//
//     c++ -std=c++17 classify.cpp -I onnxruntime/include -L onnxruntime/lib -lonnxruntime -o classify
//     ./classify deployments/classifier

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nagsdk_input.hpp"

int main(int count, char** arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: classify FOLDER\n"), 2;
  const std::string folder = arguments[1];
  const auto manifest = nlohmann::json::parse(std::ifstream(folder + "/manifest.json"));
  const auto& steps = manifest.at("preprocessing");
  const nagsdk::Preprocessing how{steps.at("scale"), steps.at("mean"), steps.at("std"), steps.at("crop_fraction")};
  const int resolution = manifest.at("resolution");
  const int batch = manifest.at("batch");

  Ort::Env environment;
  Ort::SessionOptions options;
  // The latency in the manifest was measured with this number of threads.
  options.SetIntraOpNumThreads(manifest.at("threads").get<int>());
  // On Windows, ONNX Runtime takes wide characters, which is what path.c_str() gives there.
  const auto path = std::filesystem::path(folder) / manifest.at("artifact").at("path").get<std::string>();
  Ort::Session session(environment, path.c_str(), options);

  const auto pixels = nagsdk::probe_image(resolution);  // or your own image
  auto one = nagsdk::to_input(pixels.data(), resolution, resolution, resolution, how);
  std::vector<float> input;
  for (int image = 0; image < batch; ++image) input.insert(input.end(), one.begin(), one.end());
  const std::array<std::int64_t, 4> shape{batch, 3, resolution, resolution};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto tensor = Ort::Value::CreateTensor<float>(memory, input.data(), input.size(), shape.data(), shape.size());
  const char* inputs[] = {"image"};
  const char* outputs[] = {"logits"};
  auto answer = session.Run(Ort::RunOptions{}, inputs, &tensor, 1, outputs, 1);
  const float* logits = answer[0].GetTensorData<float>();

  const std::vector<float> expected = manifest.at("probe").at("logits");
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(logits[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  std::printf("class %td; the logits differ from torch's by %.1e of their norm\n",
              std::max_element(logits, logits + expected.size()) - logits, std::sqrt(difference / norm));
  return 0;
}
