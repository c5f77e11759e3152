// A stage of the supernet: all edges from some nodes to some others, every candidate on all of them, in one pass each.
//
// Its slots are its edges, ordered by source, then target; slot s = (i, t). A map of slots has slots x C channels, one
// of sources sources x C, one of targets targets x C. A unit is
//
//     y_s = P_s D_s ReLU(x_s)        x_s: source i itself, or scale_s y'_s + shift_s with y' of the unit before it,
//
// P pointwise, D depthwise; or, as in 1x1 convolutions, D x = x, which is (x_even, x_odd) at stride 2, the pixels at
// even rows and columns and those at odd ones, as twice the channels. Units that no unit reads, pools of the sources
// and the identity are the stage's terms y_k, of which all but the identity are normalised:
//
//     total_t = sum over terms k and sources i of  gate_sk BN(y_sk),
//     BN(y) = scale y + shift,       scale = weight / sqrt(var + eps),       shift = bias - scale mean.
//
// Everything is done image by image and slot by slot, so that what one step writes, the next one reads from the cache:
// no map is copied to the slots that read it, ReLU and BN are applied on reading, moments are taken after writing, and
// the backward pass computes D ReLU(x) again. Only the maps y are kept. One thread; the order of all sums is fixed.

#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

namespace {

using at::Tensor;
using Index = int64_t;

// ---------------------------------------------------------------------------------------------------------------------
// Vectors: L channels at a time.

template <typename T, int L>
struct Lanes {
  typedef T Vector __attribute__((vector_size(L * sizeof(T)), aligned(sizeof(T)), may_alias));

  static Vector load(const T* at) { return *reinterpret_cast<const Vector*>(at); }
  static void store(T* at, Vector v) { *reinterpret_cast<Vector*>(at) = v; }
  static void add(T* at, Vector v) { store(at, load(at) + v); }
  static Vector relu(Vector x) { return x < Vector{} ? Vector{} : x; }  // keeps what is not a number, as PyTorch does
  static Vector where_positive(Vector x, Vector g) { return x <= Vector{} ? Vector{} : g; }
};

// The numbers of a tensor: to read, or to write.
template <typename T>
const T* numbers(const Tensor& tensor) { return tensor.const_data_ptr<T>(); }
template <typename T>
T* room(const Tensor& tensor) { return tensor.mutable_data_ptr<T>(); }

#define UNROLL _Pragma("GCC unroll 32")
#define INLINE inline __attribute__((always_inline))

// ---------------------------------------------------------------------------------------------------------------------
// Depthwise convolution of L channels of one image. Inputs have a margin, so that no tap falls outside; a tap's weights
// of all slots lie together, `w_step` numbers before those of the next tap.

template <int Kernel, int Stride, int Dilation>
struct Filter {
  static constexpr int K = Kernel, S = Stride, D = Dilation;
  static constexpr int margin = K == 1 ? S - 1 : D * (K / 2);  // K = 1: no filter, but there may be no last odd row
};

template <typename T, int L, typename F>
struct Depthwise : Lanes<T, L> {
  using typename Lanes<T, L>::Vector;
  using Lanes<T, L>::load, Lanes<T, L>::store, Lanes<T, L>::add;
  static constexpr int K = F::K, S = F::S, D = F::D;

  // y(h, q) = sum over i, j of w(i, j) x(S h + D i, S q + D j); added to what y holds if `more`. `row`: numbers in a
  // row of x; y has `height` x `width` pixels, `step` numbers each.
  static void convolve(const T* x, Index row, const T* w, Index w_step, T* y, Index step, Index height, Index width,
                       bool more) {
    for (Index h = 0; h < height; ++h, x += S * row) {
      Index q = 0;
      for (; q + 8 <= width; q += 8, y += 8 * step) pixels<8>(x + q * S * L, row, w, w_step, y, step, more);
      for (; q + 4 <= width; q += 4, y += 4 * step) pixels<4>(x + q * S * L, row, w, w_step, y, step, more);
      for (; q < width; ++q, y += step) pixels<1>(x + q * S * L, row, w, w_step, y, step, more);
    }
  }

  // dL/dw(i, j) = sum over h, q of g(h, q) x(S h + D i, S q + D j), added to gw.
  static void weight_gradient(const T* x, Index row, const T* g, Index step, Index height, Index width, T* gw,
                              Index w_step) {
    for (int i = 0; i < K;) {  // as many rows of the filter at once as there are registers for
      constexpr int most = K == 3 ? 3 : 2;
      if (i + most <= K) {
        filter_rows<most>(x + i * D * row, row, g, step, height, width, gw + i * K * w_step, w_step);
        i += most;
      } else {
        filter_rows<1>(x + i * D * row, row, g, step, height, width, gw + i * K * w_step, w_step);
        i += 1;
      }
    }
  }

  // dL/dx(S h + D i, S q + D j) += w(i, j) g(h, q). At stride 1 this is `convolve` with the flipped filter, faster.
  static void scatter(T* gx, Index row, const T* w, Index w_step, const T* g, Index step, Index height, Index width) {
    for (Index h = 0; h < height; ++h, gx += S * row)
      for (Index q = 0; q < width; ++q, g += step) {
        const Vector value = load(g);
        UNROLL for (int i = 0; i < K; ++i) UNROLL for (int j = 0; j < K; ++j)
            add(gx + i * D * row + (q * S + j * D) * L, value * load(w + (i * K + j) * w_step));
      }
  }

 private:
  template <int R>
  static INLINE void pixels(const T* x, Index row, const T* w, Index w_step, T* y, Index step, bool more) {
    Vector sum[R];
    UNROLL for (int r = 0; r < R; ++r) sum[r] = more ? load(y + r * step) : Vector{};
    UNROLL for (int i = 0; i < K; ++i) UNROLL for (int j = 0; j < K; ++j) {
      const Vector tap = load(w + (i * K + j) * w_step);
      UNROLL for (int r = 0; r < R; ++r) sum[r] += tap * load(x + i * D * row + (r * S + j * D) * L);
    }
    UNROLL for (int r = 0; r < R; ++r) store(y + r * step, sum[r]);
  }

  template <int Rows>
  static void filter_rows(const T* x, Index row, const T* g, Index step, Index height, Index width, T* gw,
                          Index w_step) {
    Vector sum[Rows * K] = {};
    for (Index h = 0; h < height; ++h, x += S * row)
      for (Index q = 0; q < width; ++q, g += step) {
        const Vector value = load(g);
        UNROLL for (int i = 0; i < Rows; ++i) UNROLL for (int j = 0; j < K; ++j)
            sum[i * K + j] += value * load(x + i * D * row + (q * S + j * D) * L);
      }
    UNROLL for (int tap = 0; tap < Rows * K; ++tap) add(gw + tap * w_step, sum[tap]);
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Pointwise convolution of one slot: `pixels` rows of n numbers times a matrix.

template <typename T, int L>
struct Pointwise : Lanes<T, L> {
  using typename Lanes<T, L>::Vector;
  using Lanes<T, L>::load, Lanes<T, L>::store, Lanes<T, L>::add;

  // y(p, o) = sum over i of x(p, i) m(i, o), m: (n, out).
  static void multiply(const T* x, Index n, const T* m, Index out, T* y, Index y_step, Index pixels) {
    Index o = 0;
    for (; o + 2 * L <= out; o += 2 * L) columns<2>(x, n, m + o, out, y + o, y_step, pixels);
    for (; o < out; o += L) columns<1>(x, n, m + o, out, y + o, y_step, pixels);
  }

  // gm(o, i) += sum over p of g(p, o) x(p, i), gm: (out, n).
  static void matrix_gradient(const T* g, Index out, const T* x, Index n, T* gm, Index pixels) {
    for (Index o = 0; o < out; o += L)
      for (Index i = 0; i < n; i += L) {
        Vector sum[L] = {};
        for (Index p = 0; p < pixels; ++p) {
          const Vector value = load(x + p * n + i);
          UNROLL for (int r = 0; r < L; ++r) sum[r] += g[p * out + o + r] * value;
        }
        UNROLL for (int r = 0; r < L; ++r) add(gm + (o + r) * n + i, sum[r]);
      }
  }

 private:
  template <int Columns>
  static void columns(const T* x, Index n, const T* m, Index out, T* y, Index y_step, Index pixels) {
    constexpr int R = 8 / Columns;
    Index p = 0;
    for (; p + R <= pixels; p += R) block<R, Columns>(x + p * n, n, m, out, y + p * y_step, y_step);
    for (; p < pixels; ++p) block<1, Columns>(x + p * n, n, m, out, y + p * y_step, y_step);
  }

  template <int R, int Columns>
  static INLINE void block(const T* x, Index n, const T* m, Index out, T* y, Index y_step) {
    Vector sum[R][Columns] = {};
    for (Index i = 0; i < n; ++i)
      UNROLL for (int c = 0; c < Columns; ++c) {
        const Vector column = load(m + i * out + c * L);
        UNROLL for (int r = 0; r < R; ++r) sum[r][c] += x[r * n + i] * column;
      }
    UNROLL for (int r = 0; r < R; ++r) UNROLL for (int c = 0; c < Columns; ++c)
        store(y + r * y_step + c * L, sum[r][c]);
  }
};

// The sum over pixels of f(pixel), in four independent chains.
template <typename Vector, typename F>
INLINE Vector sum_over(Index pixels, F f) {
  Vector sum[4] = {};
  Index p = 0;
  for (; p + 4 <= pixels; p += 4) UNROLL for (int r = 0; r < 4; ++r) sum[r] += f(p + r);
  for (; p < pixels; ++p) sum[0] += f(p);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Mean and sum of squared deviations of channels, image by image. With n numbers of mean m, and N of mean M so far,
//
//     M <- M + (m - M) n / (N + n),       squares <- squares + those of the image + (m - M)^2 N n / (N + n).
template <typename T, int L>
struct Moments {
  using Vector = typename Lanes<T, L>::Vector;
  std::vector<double> mean, squares;

  explicit Moments(Index channels) : mean(channels), squares(channels) {}

  // `y`: channel `first` and the following ones of image `image`, `step` numbers a pixel.
  void add_image(Index image, const T* y, Index step, Index pixels, Index first, Index channels) {
    const double share = 1.0 / static_cast<double>(image + 1), n = static_cast<double>(pixels);
    for (Index c = 0; c < channels; c += L, y += L) {
      const Vector m = sum_over<Vector>(pixels, [=](Index p) { return Lanes<T, L>::load(y + p * step); }) / T(pixels);
      const Vector about_m = sum_over<Vector>(pixels, [=](Index p) {
        const Vector d = Lanes<T, L>::load(y + p * step) - m;
        return d * d;
      });
      for (int l = 0; l < L; ++l) {
        double& of_all = mean[first + c + l];
        const double d = m[l] - of_all;
        of_all += d * share;
        squares[first + c + l] += about_m[l] + d * d * static_cast<double>(image) * n * share;
      }
    }
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// Maps. What PyTorch sees has all channels of a pixel together; what stays here has those of a slot together.

template <typename T>
struct Map {
  T* data;
  Index image, group, pixel;  // numbers from one to the next

  T* at(Index n, Index i) const { return data + n * image + i * group; }
};

template <typename T>
Map<T> together(T* data, Index groups, Index pixels, Index channels) {
  return {data, groups * pixels * channels, channels, groups * channels};
}

template <typename T>
Map<T> apart(T* data, Index groups, Index pixels, Index channels) {
  return {data, groups * pixels * channels, pixels * channels, channels};
}

// ---------------------------------------------------------------------------------------------------------------------
// A unit on all slots. Its input has `groups` groups of channels, each read by `targets` slots: the sources of the
// stage by their targets, the output of another unit by one.

template <typename T>
struct Unit {
  Index images, height, width, out_height, out_width, groups, targets;
  Index in_channels, inner, channels;  // of x, D x and y: C, but for units without a filter
  Index kernel, stride, dilation, input;  // the unit whose output it reads, or -1
  Map<const T> x;                         // what it reads, times scale plus shift if they are not null
  const T *scale, *shift;
  Tensor taps, flipped, p, transposed;    // filters: (k k, slots x C); P: (slots, C, inner), and (slots, inner, C)

  Index out_pixels() const { return out_height * out_width; }
  Index tap() const { return groups * targets * channels; }  // numbers from one tap to the next
};

template <typename F>
void with_filter(Index kernel, Index stride, Index dilation, F f) {
  if (kernel == 1) return stride == 1 ? f(Filter<1, 1, 1>{}) : f(Filter<1, 2, 1>{});
  const bool wide = kernel == 5, half = stride == 2, sparse = dilation == 2;
  if (!wide && !half && !sparse) return f(Filter<3, 1, 1>{});
  if (!wide && !half && sparse) return f(Filter<3, 1, 2>{});
  if (!wide && half && !sparse) return f(Filter<3, 2, 1>{});
  if (!wide && half && sparse) return f(Filter<3, 2, 2>{});
  if (wide && !half && !sparse) return f(Filter<5, 1, 1>{});
  if (wide && !half && sparse) return f(Filter<5, 1, 2>{});
  if (wide && half && !sparse) return f(Filter<5, 2, 1>{});
  return f(Filter<5, 2, 2>{});
}

// One image of one group, L channels after the other, within a margin of zeros.
template <typename T, int L>
struct Padded : Lanes<T, L> {
  using typename Lanes<T, L>::Vector;
  Index height, width, margin, row, size;
  Tensor memory;
  T* data;

  Padded(Index height, Index width, Index margin, Index channels, const at::TensorOptions& options)
      : height(height), width(width), margin(margin), row((width + 2 * margin) * L),
        size((height + 2 * margin) * row), memory(at::zeros({channels / L * size}, options)),
        data(room<T>(memory)) {}

  T* block(Index c) const { return data + c / L * size; }                          // of channels c to c + L
  T* inside(Index c) const { return block(c) + margin * row + margin * L; }  // its first pixel

  // Fill with f(x), `step` numbers a pixel.
  template <typename F>
  void read(Index c, const T* x, Index step, F f) const {
    T* to = inside(c);
    for (Index h = 0; h < height; ++h, to += row)
      for (Index q = 0; q < width; ++q, x += step) this->store(to + q * L, f(this->load(x)));
  }
};

// ReLU of what a unit reads of image n, group i.
template <typename T, int L>
void read_input(const Unit<T>& unit, Index n, Index i, const Padded<T, L>& padded) {
  using V = Lanes<T, L>;
  for (Index c = 0; c < unit.in_channels; c += L) {
    const Index channel = i * unit.in_channels + c;
    const T* x = unit.x.at(n, i) + c;
    if (unit.scale == nullptr) {
      padded.read(c, x, unit.x.pixel, [](auto v) { return V::relu(v); });
    } else {
      const auto scale = V::load(unit.scale + channel), shift = V::load(unit.shift + channel);
      padded.read(c, x, unit.x.pixel, [=](auto v) { return V::relu(scale * v + shift); });
    }
  }
}

// For every pixel (h, q), L channels and S = 1 or 2 samples of them, f(number in z, number in `padded`): with them
//
//     z(h, q, k) = x(S h + k, S q + k),        k < S.
template <typename F, typename T, int L, typename Do>
void each_sample(const Unit<T>& unit, const Padded<T, L>& padded, Do f) {
  for (Index k = 0; k < F::S; ++k)
    for (Index c = 0; c < unit.in_channels; c += L) {
      Index z = k * unit.in_channels + c, x = padded.inside(c) - padded.data + k * padded.row + k * L;
      for (Index h = 0; h < unit.out_height; ++h, x += F::S * padded.row)
        for (Index q = 0; q < unit.out_width; ++q, z += unit.inner) f(z, x + q * F::S * L);
    }
}

// z = D ReLU(x) of one slot: (pixels, inner).
template <typename F, typename T, int L>
void filter_slot(const Unit<T>& unit, Index slot, const Padded<T, L>& padded, T* z) {
  using V = Lanes<T, L>;
  if constexpr (F::K == 1) {
    each_sample<F>(unit, padded, [&](Index to, Index from) { V::store(z + to, V::load(padded.data + from)); });
  } else {
    const T* w = numbers<T>(unit.taps) + slot * unit.channels;
    for (Index c = 0; c < unit.channels; c += L)
      Depthwise<T, L, F>::convolve(padded.block(c), padded.row, w + c, unit.tap(), z + c, unit.channels,
                                   unit.out_height, unit.out_width, false);
  }
}

// y = P D ReLU(x), and its moments.
template <typename F, typename T, int L>
void unit_forward(const Unit<T>& unit, Map<T> y, Moments<T, L>* moments) {
  const Index C = unit.channels, pixels = unit.out_pixels();
  const auto options = unit.taps.options();
  Padded<T, L> padded(unit.height, unit.width, F::margin, unit.in_channels, options);
  Tensor memory = at::empty({pixels * unit.inner}, options);
  T* z = room<T>(memory);
  for (Index n = 0; n < unit.images; ++n)
    for (Index i = 0; i < unit.groups; ++i) {
      read_input(unit, n, i, padded);
      for (Index slot = i * unit.targets; slot < (i + 1) * unit.targets; ++slot) {
        T* out = y.at(n, slot);
        filter_slot<F>(unit, slot, padded, z);
        const T* p = numbers<T>(unit.transposed) + slot * C * unit.inner;
        Pointwise<T, L>::multiply(z, unit.inner, p, C, out, y.pixel, pixels);
        if (moments != nullptr) moments->add_image(n, out, y.pixel, pixels, slot * C, C);
      }
    }
}

// What a unit's backward pass reads, dL/dy = a g + b y + c with numbers a, b, c for every channel of its slots (see
// `Stage::through_norm`), and what it adds to; null where it is not wanted.
template <typename T>
struct Gradients {
  const T *a, *b, *c;
  Map<const T> y, g;
  Index g_groups;          // g is a map of all slots, or of the stage's targets, the same for all sources
  T *taps, *p;             // of the filters, laid out as `Unit` has them
  Map<T> x;                // of the map that the unit reads, which holds something already if `more`; of
  bool more;               // scale_s y'_s + shift_s if that is what the unit reads: then also
  double *total, *along;   // the sums over pixels of this gradient, and of it times y'
};

// dL/dy of one slot of image n: (pixels, C).
template <typename T, int L>
void output_gradient(const Unit<T>& unit, const Gradients<T>& to, Index n, Index slot, T* gy) {
  using V = Lanes<T, L>;
  const Index C = unit.channels, pixels = unit.out_pixels();
  for (Index k = 0; k < C; k += L) {
    const T *g = to.g.at(n, slot % to.g_groups) + k, *y = to.y.at(n, slot) + k;
    const auto a = V::load(to.a + slot * C + k), b = V::load(to.b + slot * C + k), c = V::load(to.c + slot * C + k);
    for (Index p = 0; p < pixels; ++p)
      V::store(gy + p * C + k, a * V::load(g + p * to.g.pixel) + b * V::load(y + p * to.y.pixel) + c);
  }
}

// The gradient by the input of one slot, gz = dL/dz, added to that of the slots before it.
template <typename F, typename T, int L>
void input_gradient(const Unit<T>& unit, Index slot, const T* gz, const Padded<T, L>& gz_padded,
                    const Padded<T, L>& gx, bool first) {
  using V = Lanes<T, L>;
  const Index C = unit.channels, step = unit.tap();
  if (first && (F::K == 1 || F::S > 1)) std::fill_n(gx.data, gx.size * (unit.in_channels / L), T(0));
  if constexpr (F::K == 1) {
    each_sample<F>(unit, gx, [&](Index from, Index to) { V::add(gx.data + to, V::load(gz + from)); });
  } else if constexpr (F::S == 1) {
    for (Index c = 0; c < C; c += L) {
      const T* w = numbers<T>(unit.flipped) + slot * C + c;
      gz_padded.read(c, gz + c, C, [](auto v) { return v; });
      Depthwise<T, L, F>::convolve(gz_padded.block(c), gz_padded.row, w, step, gx.block(c), L, unit.height, unit.width,
                                   !first);
    }
  } else {
    for (Index c = 0; c < C; c += L) {
      const T* w = numbers<T>(unit.taps) + slot * C + c;
      Depthwise<T, L, F>::scatter(gx.block(c), gx.row, w, step, gz + c, C, unit.out_height, unit.out_width);
    }
  }
}

// Where ReLU lets it through, the gradient `gx` of image n, group i, is added to the map's.
template <typename T, int L>
void write_gradient(const Unit<T>& unit, Index n, Index i, const Padded<T, L>& gx, const Gradients<T>& to) {
  using V = Lanes<T, L>;
  using Vector = typename V::Vector;
  for (Index c = 0; c < unit.in_channels; c += L) {
    const Index channel = i * unit.in_channels + c;
    const T *x = unit.x.at(n, i) + c, *from = gx.inside(c);
    T* at = to.x.at(n, i) + c;
    const bool normed = unit.scale != nullptr;
    const Vector scale = normed ? V::load(unit.scale + channel) : Vector{} + 1;
    const Vector shift = normed ? V::load(unit.shift + channel) : Vector{};
    Vector total = {}, along = {};
    for (Index h = 0; h < unit.height; ++h, from += gx.row)
      for (Index q = 0; q < unit.width; ++q, x += unit.x.pixel, at += to.x.pixel) {
        const Vector y = V::load(x), g = V::where_positive(scale * y + shift, V::load(from + q * L));
        total += g;
        along += g * y;
        V::store(at, to.more ? V::load(at) + g : g);
      }
    for (int l = 0; l < L && normed; ++l) to.total[channel + l] += total[l], to.along[channel + l] += along[l];
  }
}

// dL/dP = sum over pixels of gy z^T,   dL/dz = P^T gy,   then dL/dD and, if wanted, dL/dx.
template <typename F, typename T, int L>
void unit_backward(const Unit<T>& unit, const Gradients<T>& to) {
  using PW = Pointwise<T, L>;
  const Index C = unit.channels, pixels = unit.out_pixels(), matrix = C * unit.inner;
  const auto options = unit.taps.options();
  const bool flip = F::S == 1 && F::K > 1;  // then gx needs no margin, but gz does
  Padded<T, L> x(unit.height, unit.width, F::margin, unit.in_channels, options);
  Padded<T, L> gz_padded(unit.out_height, unit.out_width, flip ? F::margin : 0, C, options);
  Padded<T, L> gx(unit.height, unit.width, flip ? 0 : F::margin, unit.in_channels, options);
  Tensor memory = at::empty({pixels * (2 * unit.inner + C)}, options);
  T *z = room<T>(memory), *gz = z + pixels * unit.inner, *gy = gz + pixels * unit.inner;
  for (Index n = 0; n < unit.images; ++n)
    for (Index i = 0; i < unit.groups; ++i) {
      if (to.p != nullptr) read_input(unit, n, i, x);
      for (Index t = 0; t < unit.targets; ++t) {
        const Index slot = i * unit.targets + t;
        output_gradient<T, L>(unit, to, n, slot, gy);
        const T* p = numbers<T>(unit.p) + slot * matrix;
        PW::multiply(gy, C, p, unit.inner, gz, unit.inner, pixels);
        if (to.p != nullptr) {
          filter_slot<F>(unit, slot, x, z);
          PW::matrix_gradient(gy, C, z, unit.inner, to.p + slot * matrix, pixels);
          if constexpr (F::K > 1)
            for (Index c = 0; c < C; c += L)
              Depthwise<T, L, F>::weight_gradient(x.block(c), x.row, gz + c, C, unit.out_height, unit.out_width,
                                                  to.taps + slot * C + c, unit.tap());
        }
        if (to.x.data != nullptr) input_gradient<F>(unit, slot, gz, gz_padded, gx, t == 0);
      }
      if (to.x.data != nullptr) write_gradient(unit, n, i, gx, to);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Pools of L channels of one image, 3x3; pixels outside do not count. `x_step`, `y_step`: numbers from pixel to pixel.

template <typename T, int L>
struct Pool : Lanes<T, L> {
  using typename Lanes<T, L>::Vector;
  using Lanes<T, L>::load, Lanes<T, L>::store, Lanes<T, L>::add;
  bool maximum;
  Index height, width, stride;

  void forward(const T* x, Index x_step, T* y, Index y_step) const {
    each_window([&](Index h, Index q) {
      store(y, maximum ? largest(x, x_step, h, q).first : mean(x, x_step, h, q));
      y += y_step;
    });
  }

  // dL/dx, added to gx: g, pixels of L numbers, for the first of the largest, or g / count for all of the window.
  void backward(const T* x, T* gx, Index x_step, const T* g) const {
    each_window([&](Index h, Index q) {
      if (maximum) {
        const Vector where = largest(x, x_step, h, q).second, value = load(g);
        each_pixel(h, q, [&](Index at) { add(gx + at * x_step, where == T(at) ? value : Vector{}); });
      } else {
        const Vector share = load(g) / count(h, q);
        each_pixel(h, q, [&](Index at) { add(gx + at * x_step, share); });
      }
      g += L;
    });
  }

 private:
  // f(h, q) for the centres of all windows.
  template <typename F>
  void each_window(F f) const {
    for (Index h = 0; h < height; h += stride)
      for (Index q = 0; q < width; q += stride) f(h, q);
  }

  template <typename F>
  void each_pixel(Index h, Index q, F f) const {
    for (Index a = std::max<Index>(h - 1, 0); a < std::min(h + 2, height); ++a)
      for (Index b = std::max<Index>(q - 1, 0); b < std::min(q + 2, width); ++b) f(a * width + b);
  }

  T count(Index h, Index q) const {
    T number = 0;
    each_pixel(h, q, [&](Index) { number += 1; });
    return number;
  }

  Vector mean(const T* x, Index x_step, Index h, Index q) const {
    Vector sum = {};
    each_pixel(h, q, [&](Index at) { sum += load(x + at * x_step); });
    return sum / count(h, q);
  }

  // The largest number of each channel, which is the first that is not a number if there is one, and its pixel.
  std::pair<Vector, Vector> largest(const T* x, Index x_step, Index h, Index q) const {
    Vector best = Vector{} - std::numeric_limits<T>::infinity(), where = {};
    each_pixel(h, q, [&](Index at) {
      const Vector value = load(x + at * x_step);
      const auto better = (value > best) | (value != value);
      best = better ? value : best, where = better ? Vector{} + T(at) : where;
    });
    return {best, where};
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// The stage.

struct Inputs {
  Tensor x;                       // (batch, height, width, sources x C)
  at::IntArrayRef pools;          // 1 for the largest number, 0 for the mean
  Tensor gates;                   // (slots, terms): of the units that no unit reads, the pools and the identity
  at::TensorList depthwise;       // of each unit: (slots x C, 1, k, k), k = 1 if it has no filter
  at::TensorList pointwise;       // of each unit: (slots, C, channels of D x)
  std::optional<Tensor> weight, bias;           // of the norms of units, then pools: (norms x slots x C)
  at::IntArrayRef strides, dilations, inputs;   // of each unit; the unit that it reads, -1 for the sources
  Index sources;
  bool identity;
  double eps;
};

template <typename T, int L>
class Stage {
  using V = Lanes<T, L>;
  using Vector = typename V::Vector;

  // A map that is mixed into the targets: of slots, or of sources.
  struct Term {
    Map<const T> map;
    Index norm;  // -1: none
    bool of_slots;
  };

  const Inputs& in;
  Index images, sources, targets, slots, C, width, pixels, units, norms;
  at::TensorOptions options;
  std::vector<Unit<T>> unit;
  std::vector<Term> terms;
  Tensor mean, var, rstd, scale, shift;  // (norms x slots x C)

 public:
  explicit Stage(const Inputs& inputs) : in(inputs), options(inputs.x.options()) {
    images = in.x.size(0), sources = in.sources, slots = in.gates.size(0), targets = slots / sources;
    C = in.pointwise[0].size(1), width = slots * C;
    units = in.depthwise.size(), norms = units + in.pools.size();
    const Index step = in.strides[0];
    const Index height = (in.x.size(1) + step - 1) / step, across = (in.x.size(2) + step - 1) / step;
    pixels = height * across;
    rstd = at::empty({norms * width}, options), scale = at::empty_like(rstd), shift = at::empty_like(rstd);
    for (Index u = 0; u < units; ++u) {
      const bool second = in.inputs[u] >= 0;  // reads another unit's output
      const Tensor &w = in.depthwise[u], &p = in.pointwise[u], taps = w.reshape({w.size(0), -1}).t().contiguous();
      Unit<T> one{images, in.x.size(1), in.x.size(2), height, across, sources, targets};
      if (second) one.height = height, one.width = across, one.groups = slots, one.targets = 1;
      one.in_channels = second ? C : in.x.size(3) / sources, one.inner = p.size(2), one.channels = C;
      one.kernel = w.size(2), one.stride = in.strides[u], one.dilation = in.dilations[u], one.input = in.inputs[u];
      one.scale = one.shift = nullptr;
      one.x = together(numbers<T>(in.x), sources, in.x.size(1) * in.x.size(2), one.in_channels);
      one.taps = taps, one.flipped = taps.flip(0), one.p = p, one.transposed = p.transpose(1, 2).contiguous();
      unit.push_back(one);
    }
  }

  std::tuple<Tensor, Tensor, Tensor, std::vector<Tensor>> forward(const std::optional<Tensor>& fixed_mean,
                                                                  const std::optional<Tensor>& fixed_var) {
    const bool fixed = fixed_mean.has_value();
    mean = fixed ? *fixed_mean : at::empty_like(rstd);
    var = fixed ? *fixed_var : at::empty_like(rstd);
    std::vector<Tensor> ys;
    for (Index u = 0; u < units; ++u) {
      ys.push_back(at::empty({images, slots, pixels, C}, options));
      connect(u, ys);
      Moments<T, L> moments(width);
      with_filter(unit[u].kernel, unit[u].stride, unit[u].dilation, [&](auto filter) {
        unit_forward<decltype(filter), T, L>(unit[u], of_slots(room<T>(ys[u])), fixed ? nullptr : &moments);
      });
      if (!fixed) keep(moments, u, [](Index s) { return s; });
      normalise(u);
    }
    for (Index u = units; u < norms; ++u) {
      ys.push_back(at::empty({images, sources, pixels, C}, options));
      Moments<T, L> moments(sources * C);
      const Map<T> y = apart(room<T>(ys[u]), sources, pixels, C);
      each_of_sources([&](Index n, Index i, Index c) {
        pool(u).forward(unit[0].x.at(n, i) + c, unit[0].x.pixel, y.at(n, i) + c, y.pixel);
        if (!fixed) moments.add_image(n, y.at(n, i) + c, y.pixel, pixels, i * C + c, L);
      });
      if (!fixed) keep(moments, u, [this](Index s) { return s / targets; });
      normalise(u);
    }
    collect(ys);
    return {mix(), mean, var, ys};
  }

  struct Result {
    Tensor x, gates, weight, bias;
    std::vector<Tensor> depthwise, pointwise;
  };

  // `g`: (batch, out height, out width, targets x C).
  Result backward(const Tensor& g, const Tensor& of_mean, const Tensor& of_var, at::TensorList ys, bool fixed,
                  bool for_x, bool for_weights) {
    mean = of_mean, var = of_var;
    for (Index u = 0; u < norms; ++u) normalise(u);
    collect(ys);
    Result to;
    to.gates = at::zeros_like(in.gates);
    to.weight = at::zeros_like(rstd), to.bias = at::zeros_like(to.weight);
    Tensor abc = at::zeros({norms, 3, width}, options);
    through_mixture(g, to, abc, fixed);
    if (!for_x && !for_weights) return to;
    if (for_x) to.x = at::zeros_like(in.x), sources_gradient(g, to, abc);
    for (Index u = 0; u < units && for_weights; ++u) {
      to.depthwise.push_back(at::zeros_like(unit[u].taps)), to.pointwise.push_back(at::zeros_like(unit[u].p));
    }
    std::vector<Tensor> g_of(units);  // dL/dBN(y) of the units that another one reads
    for (Index u = units; u-- > 0; g_of[u] = Tensor()) {
      connect(u, ys);
      const Index before = unit[u].input;
      if (before >= 0) g_of[before] = at::empty_like(ys[u]);
      std::vector<double> total(width), along(width);
      const T* a = numbers<T>(abc[u]);
      Tensor from = g_of[u].defined() ? g_of[u] : g, gx = before >= 0 ? g_of[before] : to.x;
      T* at_x = gx.defined() ? room<T>(gx) : nullptr;
      Gradients<T> gradients{a, a + width, a + 2 * width, of_slots(numbers<T>(ys[u])),
                             g_of[u].defined() ? of_slots(numbers<T>(from)) : of_targets(from),
                             g_of[u].defined() ? slots : targets,
                             for_weights ? room<T>(to.depthwise[u]) : nullptr,
                             for_weights ? room<T>(to.pointwise[u]) : nullptr,
                             {at_x, unit[u].x.image, unit[u].x.group, unit[u].x.pixel}, before < 0,
                             total.data(), along.data()};
      with_filter(unit[u].kernel, unit[u].stride, unit[u].dilation,
                  [&](auto filter) { unit_backward<decltype(filter), T, L>(unit[u], gradients); });
      if (before >= 0) {
        for (Index c = 0; c < width; ++c) {
          along[c] = at(rstd, before)[c] * (along[c] - at(mean, before)[c] * total[c]);
          into(to.weight, before)[c] = along[c], into(to.bias, before)[c] = total[c];
          through_norm(before, c, at(scale, before)[c], total[c], along[c], fixed, abc);
        }
      }
      if (for_weights) to.depthwise[u] = to.depthwise[u].t().contiguous().view(in.depthwise[u].sizes());
    }
    return to;
  }

 private:
  // Of (rows, slots x C) numbers, the row k: to read, or to write.
  const T* at(const Tensor& rows, Index k) const { return numbers<T>(rows) + k * width; }
  T* into(const Tensor& rows, Index k) const { return room<T>(rows) + k * width; }

  template <typename U>
  Map<U> of_slots(U* data) const { return apart(data, slots, pixels, C); }
  Map<const T> of_targets(const Tensor& map) const { return together(numbers<T>(map), targets, pixels, C); }

  Pool<T, L> pool(Index norm) const {
    return {{}, in.pools[norm - units] == 1, in.x.size(1), in.x.size(2), in.strides[0]};
  }

  // f(image, source, first of L channels)
  template <typename F>
  void each_of_sources(F f) const {
    for (Index n = 0; n < images; ++n)
      for (Index i = 0; i < sources; ++i)
        for (Index c = 0; c < C; c += L) f(n, i, c);
  }

  // Let unit u read the output of the one before it, if there is one.
  void connect(Index u, at::TensorList ys) {
    if (unit[u].input < 0) return;
    unit[u].x = of_slots(numbers<T>(ys[unit[u].input]));
    unit[u].scale = at(scale, unit[u].input), unit[u].shift = at(shift, unit[u].input);
  }

  // Mean and variance of norm k; `group`: the channels of which slot s has.
  template <typename F>
  void keep(const Moments<T, L>& moments, Index k, F group) {
    for (Index s = 0; s < slots; ++s)
      for (Index c = 0; c < C; ++c) {
        into(mean, k)[s * C + c] = moments.mean[group(s) * C + c];
        into(var, k)[s * C + c] = moments.squares[group(s) * C + c] / static_cast<double>(images * pixels);
      }
  }

  // scale = weight / sqrt(var + eps),   shift = bias - scale mean.
  void normalise(Index k) {
    for (Index c = 0; c < width; ++c) {
      const T r = T(1) / std::sqrt(at(var, k)[c] + T(in.eps));
      const T w = in.weight ? at(*in.weight, k)[c] : T(1), b = in.bias ? at(*in.bias, k)[c] : T(0);
      into(rstd, k)[c] = r, into(scale, k)[c] = w * r, into(shift, k)[c] = b - at(mean, k)[c] * w * r;
    }
  }

  void collect(at::TensorList ys) {
    for (Index u = 0; u < units; ++u)
      if (std::find(in.inputs.begin(), in.inputs.end(), u) == in.inputs.end())
        terms.push_back({of_slots(numbers<T>(ys[u])), u, true});
    for (Index u = units; u < norms; ++u)
      terms.push_back({apart(numbers<T>(ys[u]), sources, pixels, C), u, false});
    if (in.identity) terms.push_back({unit[0].x, -1, false});
  }

  T gate(Index slot, size_t k) const { return numbers<T>(in.gates)[slot * terms.size() + k]; }

  // Image n of what a term reads on slot s.
  const T* image(const Term& term, Index n, Index s) const { return term.map.at(n, term.of_slots ? s : s / targets); }

  // total_t = sum over terms k and sources of gate_sk (scale_sk y_sk + shift_sk).
  Tensor mix() const {
    Tensor total = at::empty({images, unit[0].out_height, unit[0].out_width, targets * C}, options);
    Tensor start = at::zeros({width}, options);
    Tensor factors = at::empty({static_cast<Index>(terms.size()) * width}, options);
    for (size_t k = 0; k < terms.size(); ++k)
      for (Index c = 0; c < width; ++c) {
        const Index norm = terms[k].norm, target = c % (targets * C);
        into(factors, k)[c] = gate(c / C, k) * (norm < 0 ? 1 : at(scale, norm)[c]);
        if (norm >= 0) into(start, 0)[target] += gate(c / C, k) * at(shift, norm)[c];
      }
    const Map<T> out = together(room<T>(total), targets, pixels, C);
    struct Read {
      const T *y, *factor;
      Index pixel;
    };
    std::vector<Read> reads;
    for (Index n = 0; n < images; ++n)
      for (Index t = 0; t < targets; ++t) {
        reads.clear();
        for (Index s = t; s < slots; s += targets)
          for (size_t k = 0; k < terms.size(); ++k)
            reads.push_back({image(terms[k], n, s), at(factors, k) + s * C, terms[k].map.pixel});
        for (Index p = 0; p < pixels; ++p)
          for (Index c = 0; c < C; c += L) {
            Vector sum = V::load(at(start, 0) + t * C + c);
            for (const Read& read : reads) sum += V::load(read.factor + c) * V::load(read.y + p * read.pixel + c);
            V::store(out.at(n, t) + p * out.pixel + c, sum);
          }
      }
    return total;
  }

  // With total = sum over pixels of g and along = sum over pixels of g (y - mean) / sqrt(var + eps),
  // dL/dgate = sum over channels of weight along + bias total,   dL/dweight = gate along,   dL/dbias = gate total.
  void through_mixture(const Tensor& gradient, Result& to, Tensor& abc, bool fixed) {
    const Map<const T> g = of_targets(gradient);
    std::vector<double> total(targets * C), along(terms.size() * width);
    for (Index n = 0; n < images; ++n)
      for (Index t = 0; t < targets; ++t)
        for (Index c = 0; c < C; c += L) {
          const T* from = g.at(n, t) + c;
          add(&total[t * C + c], sum_over<Vector>(pixels, [=](Index p) { return V::load(from + p * g.pixel); }));
          for (size_t k = 0; k < terms.size(); ++k)
            for (Index s = t; s < slots; s += targets) {
              const Vector about = terms[k].norm < 0 ? Vector{} : V::load(at(mean, terms[k].norm) + s * C + c);
              const T* y = image(terms[k], n, s) + c;
              const Index pixel = terms[k].map.pixel;
              add(&along[k * width + s * C + c], sum_over<Vector>(pixels, [=](Index p) {
                return V::load(from + p * g.pixel) * (V::load(y + p * pixel) - about);
              }));
            }
        }
    T* gate_gradients = room<T>(to.gates);
    for (size_t k = 0; k < terms.size(); ++k)
      for (Index c = 0; c < width; ++c) {
        const Index norm = terms[k].norm;
        const double sum = total[c % (targets * C)], z = gate(c / C, k);
        T& gate_gradient = gate_gradients[c / C * terms.size() + k];
        if (norm < 0) {
          gate_gradient += along[k * width + c];
          continue;
        }
        const double a = at(rstd, norm)[c] * along[k * width + c];
        gate_gradient += (in.weight ? at(*in.weight, norm)[c] : 1) * a + (in.bias ? at(*in.bias, norm)[c] : 0) * sum;
        into(to.weight, norm)[c] = z * a, into(to.bias, norm)[c] = z * sum;
        through_norm(norm, c, z * at(scale, norm)[c], sum, a, fixed, abc);
      }
  }

  static void add(double* sums, Vector v) {
    for (int l = 0; l < L; ++l) sums[l] += v[l];
  }

  // dL/dy = f (g - total / n - yhat along / n) = a g + b y + c over n pixels, f what yhat is multiplied by over its
  // standard deviation; f g alone where mean and variance are fixed.
  void through_norm(Index k, Index channel, double f, double total, double along, bool fixed, Tensor& abc) {
    T* a = into(abc, 3 * k) + channel;
    const double share = fixed ? 0 : -f / static_cast<double>(images * pixels), r = at(rstd, k)[channel];
    a[0] = f, a[width] = share * r * along;
    a[2 * width] = share * (total - at(mean, k)[channel] * r * along);
  }

  // dL/dx by the identity, sum over targets of gate g, and by pools, whose own is sum over targets of a g + b y + c.
  void sources_gradient(const Tensor& gradient, Result& to, const Tensor& abc) const {
    const Map<const T> g = of_targets(gradient), x = unit[0].x;
    Tensor memory = at::empty({pixels * L}, options);
    T *gy = room<T>(memory), *gx = room<T>(to.x);
    for (size_t k = 0; k < terms.size(); ++k) {
      if (terms[k].of_slots) continue;
      each_of_sources([&, norm = terms[k].norm](Index n, Index i, Index c) {
        T* out = gx + (x.at(n, i) - x.data) + c;
        const T* y = terms[k].map.at(n, i) + c;
        for (Index p = 0; p < pixels; ++p) V::store(gy + p * L, Vector{});
        for (Index t = 0; t < targets; ++t) {
          const T *from = g.at(n, t) + c, *row = at(abc, 3 * std::max<Index>(norm, 0)) + (i * targets + t) * C + c;
          const Vector a = norm < 0 ? Vector{} + gate(i * targets + t, k) : V::load(row);
          const Vector b = norm < 0 ? Vector{} : V::load(row + width);
          const Vector constant = norm < 0 ? Vector{} : V::load(row + 2 * width);
          for (Index p = 0; p < pixels; ++p)
            V::add(gy + p * L, a * V::load(from + p * g.pixel) + b * V::load(y + p * terms[k].map.pixel) + constant);
        }
        if (norm >= 0) return pool(norm).backward(x.at(n, i) + c, out, x.pixel, gy);
        for (Index p = 0; p < pixels; ++p) V::add(out + p * x.pixel, V::load(gy + p * L));
      });
    }
  }
};

// ---------------------------------------------------------------------------------------------------------------------
// The two operators. Maps are (batch, height, width, channels), contiguous.

template <typename F>
auto with_type(const Inputs& in, F f) {
  const bool wide = in.x.size(3) / in.sources % 8 == 0 && in.pointwise[0].size(1) % 8 == 0;
  if (in.x.scalar_type() == at::kDouble) return f(Stage<double, 4>(in));
  return wide ? f(Stage<float, 8>(in)) : f(Stage<float, 4>(in));
}

std::tuple<Tensor, Tensor, Tensor, std::vector<Tensor>> forward(
    const Tensor& x, at::IntArrayRef pools, const Tensor& gates, at::TensorList depthwise, at::TensorList pointwise,
    const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, at::IntArrayRef strides,
    at::IntArrayRef dilations, at::IntArrayRef inputs, Index sources, bool identity, double eps,
    const std::optional<Tensor>& mean, const std::optional<Tensor>& var) {
  const Inputs in{x,       pools,     gates,  depthwise, pointwise, weight, bias,
                  strides, dilations, inputs, sources,   identity,  eps};
  return with_type(in, [&](auto stage) { return stage.forward(mean, var); });
}

std::tuple<std::vector<Tensor>, std::vector<Tensor>, std::vector<Tensor>> backward(
    const Tensor& x, at::IntArrayRef pools, const Tensor& gates, at::TensorList depthwise, at::TensorList pointwise,
    const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, at::IntArrayRef strides,
    at::IntArrayRef dilations, at::IntArrayRef inputs, Index sources, bool identity, double eps, const Tensor& mean,
    const Tensor& var, at::TensorList ys, bool fixed, bool for_x, bool for_weights, const Tensor& g) {
  const Inputs in{x,       pools,     gates,  depthwise, pointwise, weight, bias,
                  strides, dilations, inputs, sources,   identity,  eps};
  return with_type(in, [&](auto stage) {
    auto to = stage.backward(g, mean, var, ys, fixed, for_x, for_weights);
    std::vector<Tensor> of_x, of_weights = to.depthwise;
    if (for_x) of_x.push_back(to.x);
    of_weights.insert(of_weights.end(), to.pointwise.begin(), to.pointwise.end());
    return std::tuple(of_x, of_weights, std::vector<Tensor>{to.gates, to.weight, to.bias});
  });
}

#define INPUTS                                                                                                    \
  "Tensor x, int[] pools, Tensor gates, Tensor[] depthwise, Tensor[] pointwise, Tensor? weight, Tensor? bias, " \
  "int[] strides, int[] dilations, int[] inputs, int sources, bool identity, float eps, "

TORCH_LIBRARY(nas_core, m) {
  // The stage's map of targets; mean and variance of all norms; the maps that the backward pass needs.
  m.def("stage_forward(" INPUTS "Tensor? mean, Tensor? var) -> (Tensor, Tensor, Tensor, Tensor[])");
  // Gradients of x, if it is wanted; of the depthwise filters and the pointwise ones; of gates, weight and bias.
  m.def("stage_backward(" INPUTS "Tensor mean, Tensor var, Tensor[] ys, bool fixed, bool for_x, bool for_weights, "
        "Tensor g) -> (Tensor[], Tensor[], Tensor[])");
}

TORCH_LIBRARY_IMPL(nas_core, CPU, m) {
  m.impl("stage_forward", forward);
  m.impl("stage_backward", backward);
}

}  // namespace
