// Turns RGB pixels into the input of a deployed model, by the steps in its preprocessing.json. Needs only C++17 and its
// standard library.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

namespace nagsdk {

// The keys of preprocessing.json. In this version, `color` is always RGB, `resize` is always bilinear-antialias, and
// `layout` is NCHW or NHWC.
struct Preprocessing {
  float scale;
  std::array<float, 3> mean;
  std::array<float, 3> std;
  double crop_fraction;
};

namespace detail {

struct Image {
  int width, height;
  std::vector<std::uint8_t> rgb;  // rows of interleaved pixels
};

// Resizes in one direction, bilinearly with antialiasing, by a triangle filter as wide as an output pixel.
inline Image resized(const Image& from, int size, bool horizontal) {
  const int before = horizontal ? from.width : from.height;
  const double step = static_cast<double>(before) / size, width = std::max(step, 1.0);
  Image to{horizontal ? size : from.width, horizontal ? from.height : size, {}};
  to.rgb.resize(static_cast<std::size_t>(to.width) * to.height * 3);
  for (int out = 0; out < size; ++out) {
    const double centre = (out + 0.5) * step;
    const int first = std::max(0, static_cast<int>(centre - width + 0.5));
    const int last = std::min(before, static_cast<int>(centre + width + 0.5));
    std::vector<double> weights;
    double total = 0;
    for (int in = first; in < last; ++in) {
      weights.push_back(std::max(0.0, 1 - std::abs((in - centre + 0.5) / width)));
      total += weights.back();
    }
    const int lines = horizontal ? from.height : from.width;
    for (int line = 0; line < lines; ++line) {
      for (int channel = 0; channel < 3; ++channel) {
        double sum = 0;
        for (int in = first; in < last; ++in) {
          const std::size_t pixel = horizontal ? static_cast<std::size_t>(line) * from.width + in : static_cast<std::size_t>(in) * from.width + line;
          sum += weights[in - first] / total * from.rgb[pixel * 3 + channel];
        }
        const std::size_t pixel = horizontal ? static_cast<std::size_t>(line) * to.width + out : static_cast<std::size_t>(out) * to.width + line;
        to.rgb[pixel * 3 + channel] = static_cast<std::uint8_t>(std::clamp(sum + 0.5, 0.0, 255.0));
      }
    }
  }
  return to;
}

}  // namespace detail

// Returns the input, shape (1, 3, resolution, resolution); with `channels_last`, which the layout NHWC needs, the shape is
// (1, resolution, resolution, 3).
//
// rgb: `height` rows of `width` interleaved pixels.
// resolution: the value of `resolution` in manifest.json.
inline std::vector<float> to_input(const std::uint8_t* rgb, int width, int height, int resolution, const Preprocessing& how,
                                   bool channels_last = false) {
  if (width < 1 || height < 1 || resolution < 1) throw std::invalid_argument("Width, height and resolution must be 1 or more.");
  const int side = static_cast<int>(std::nearbyint(resolution / how.crop_fraction));
  const double scale = static_cast<double>(side) / std::min(width, height);
  detail::Image image{width, height, {rgb, rgb + static_cast<std::size_t>(width) * height * 3}};
  image = detail::resized(image, std::max(side, static_cast<int>(std::nearbyint(width * scale))), true);
  image = detail::resized(image, std::max(side, static_cast<int>(std::nearbyint(height * scale))), false);
  const int left = (image.width - resolution) / 2, top = (image.height - resolution) / 2;
  const std::size_t area = static_cast<std::size_t>(resolution) * resolution;
  std::vector<float> input(3 * area);
  for (int y = 0; y < resolution; ++y) {
    for (int x = 0; x < resolution; ++x) {
      for (int c = 0; c < 3; ++c) {
        const float pixel = how.scale * image.rgb[((static_cast<std::size_t>(top) + y) * image.width + left + x) * 3 + c];
        const std::size_t place = static_cast<std::size_t>(y) * resolution + x;
        input[channels_last ? place * 3 + c : c * area + place] = (pixel - how.mean[c]) / how.std[c];
      }
    }
  }
  return input;
}

// Turns an input into the numbers of a file whose manifest has `integers.input` of the type int8 or uint8: `Integer` is
// std::int8_t or std::uint8_t, and `scale` and `zero_point` stand beside the type. For uint8 they are 1 and 0, and the
// mean and std of preprocessing.json leave pixels as they are, so that a camera's pixels of the right size can be copied.
template <typename Integer>
std::vector<Integer> to_integers(const std::vector<float>& input, float scale, int zero_point) {
  static_assert(sizeof(Integer) == 1, "std::int8_t or std::uint8_t");
  constexpr float low = std::numeric_limits<Integer>::min(), high = std::numeric_limits<Integer>::max();
  std::vector<Integer> integers(input.size());
  for (std::size_t i = 0; i < input.size(); ++i) {
    integers[i] = static_cast<Integer>(std::clamp(std::nearbyint(input[i] * (1 / scale)) + zero_point, low, high));
  }
  return integers;
}

// Turns logits of a file whose manifest has `integers.output` of the type int8 or uint8 back into real numbers.
template <typename Integer>
std::vector<float> to_logits(const Integer* numbers, std::size_t count, float scale, int zero_point) {
  std::vector<float> logits(count);
  for (std::size_t i = 0; i < count; ++i) logits[i] = scale * (static_cast<int>(numbers[i]) - zero_point);
  return logits;
}

// The image that belongs to `probe` in manifest.json: for it, the model must return `probe.logits`, except for rounding.
inline std::vector<std::uint8_t> probe_image(int resolution) {
  std::vector<std::uint8_t> rgb;
  rgb.reserve(static_cast<std::size_t>(resolution) * resolution * 3);
  for (int y = 0; y < resolution; ++y) {
    for (int x = 0; x < resolution; ++x) {
      rgb.push_back(static_cast<std::uint8_t>(8 * x + 3 * y));
      rgb.push_back(static_cast<std::uint8_t>(x * y));
      rgb.push_back(static_cast<std::uint8_t>(255 - 5 * x + 2 * y));
    }
  }
  return rgb;
}

}  // namespace nagsdk
