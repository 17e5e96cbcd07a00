//! The ensemble: from statistics to one score and one weight per member.

/// How many statistics describe the reference, and how many the difference.
pub(super) const CONTEXTS: usize = 5;
pub(super) const DISTANCES: usize = 27;
pub(super) const WIDTH: usize = CONTEXTS + DISTANCES;

const UNITS: usize = 16;
const HIDDEN: usize = 4;

/// The greatest share of quality that is not monotone.
const BEND: f32 = 0.2;

/// One number per unit.
type Units = [f32; UNITS];

/// Means and scales of the statistics, then the parameters.
pub const fn parameter_count(members: usize, learned: bool) -> usize {
    let (units, looks) = (UNITS * members, HIDDEN * members);
    let nets = units * DISTANCES + units // rise, cost
        + looks * CONTEXTS + looks // look
        + looks * 2 * UNITS // modulate
        + units + members // bias, top
        + units * WIDTH + units + units; // bend in and out
    CONTEXTS + CONTEXTS + DISTANCES + nets + if learned { looks * CONTEXTS + looks + looks } else { 0 }
}

/// One net, with weights as the loops read them.
#[derive(Default)]
struct Net {
    rise: [Units; DISTANCES],
    cost: Units,
    look: [[f32; CONTEXTS]; HIDDEN],
    look_bias: [f32; HIDDEN],
    gain: [Units; HIDDEN],
    shift: [Units; HIDDEN],
    bias: Units,
    top: f32,
    bend: [Units; WIDTH],
    bend_bias: Units,
    bend_out: Units,
    weigh: [[f32; CONTEXTS]; HIDDEN],
    weigh_bias: [f32; HIDDEN],
    weigh_out: [f32; HIDDEN],
}

pub(super) struct Nets {
    mean: [f32; CONTEXTS],
    scale: [f32; CONTEXTS],
    distance_scale: [f32; DISTANCES],
    nets: Vec<Net>,
    learned: bool,
}

fn softplus(x: f32) -> f32 {
    // As PyTorch's, which is the identity from 20 on.
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

impl Nets {
    /// The ensemble with these parameters, of which there must be [`parameter_count`].
    pub fn new(members: usize, learned: bool, parameters: &[f32]) -> Self {
        let mut rest = parameters;
        let mut take = |count: usize| {
            let (taken, others) = rest.split_at(count);
            rest = others;
            taken
        };
        let mut found = Self {
            mean: std::array::from_fn(|_| 0.0),
            scale: std::array::from_fn(|_| 0.0),
            distance_scale: std::array::from_fn(|_| 0.0),
            nets: Vec::with_capacity(members),
            learned,
        };
        found.mean.copy_from_slice(take(CONTEXTS));
        found.scale.copy_from_slice(take(CONTEXTS));
        found.distance_scale.copy_from_slice(take(DISTANCES));
        found.nets.resize_with(members, Net::default);
        let (rise, cost) = (take(members * UNITS * DISTANCES), take(members * UNITS));
        let (look, look_bias) = (take(members * HIDDEN * CONTEXTS), take(members * HIDDEN));
        let modulate = take(members * HIDDEN * 2 * UNITS);
        let (bias, top) = (take(members * UNITS), take(members));
        let (bend, bend_bias) = (take(members * UNITS * WIDTH), take(members * UNITS));
        let bend_out = take(members * UNITS);
        for (m, net) in found.nets.iter_mut().enumerate() {
            for unit in 0..UNITS {
                let row = m * UNITS + unit;
                for (i, to) in net.rise.iter_mut().enumerate() {
                    to[unit] = softplus(rise[row * DISTANCES + i]);
                }
                for (i, to) in net.bend.iter_mut().enumerate() {
                    to[unit] = bend[row * WIDTH + i];
                }
                net.cost[unit] = softplus(cost[row]);
                net.bias[unit] = bias[row];
                net.bend_bias[unit] = bend_bias[row];
                net.bend_out[unit] = bend_out[row];
            }
            for hidden in 0..HIDDEN {
                let row = m * HIDDEN + hidden;
                net.look[hidden].copy_from_slice(&look[row * CONTEXTS..][..CONTEXTS]);
                net.look_bias[hidden] = look_bias[row];
                net.gain[hidden].copy_from_slice(&modulate[row * 2 * UNITS..][..UNITS]);
                net.shift[hidden].copy_from_slice(&modulate[row * 2 * UNITS + UNITS..][..UNITS]);
            }
            net.top = top[m];
        }
        if learned {
            let (weigh, weigh_bias) = (take(members * HIDDEN * CONTEXTS), take(members * HIDDEN));
            let weigh_out = take(members * HIDDEN);
            for (m, net) in found.nets.iter_mut().enumerate() {
                for hidden in 0..HIDDEN {
                    let row = m * HIDDEN + hidden;
                    net.weigh[hidden].copy_from_slice(&weigh[row * CONTEXTS..][..CONTEXTS]);
                    net.weigh_bias[hidden] = weigh_bias[row];
                    net.weigh_out[hidden] = weigh_out[row];
                }
            }
        }
        found
    }

    /// Each member's score and weight of a patch pair with these statistics, contexts before distances.
    #[inline(always)]
    pub fn score(&self, numbers: &[f32; WIDTH], raw: &mut [f32], weight: &mut [f32]) {
        let mut inputs = [0.0; WIDTH];
        for i in 0..CONTEXTS {
            inputs[i] = ((numbers[i] - self.mean[i]) / self.scale[i]).clamp(-3.0, 3.0);
        }
        for i in 0..DISTANCES {
            inputs[CONTEXTS + i] = numbers[CONTEXTS + i] / self.distance_scale[i];
        }
        for (net, (raw, weight)) in self.nets.iter().zip(raw.iter_mut().zip(weight)) {
            *raw = net.score(&inputs);
            *weight = if self.learned { net.weight(&inputs) } else { 1.0 };
        }
    }
}

/// A layer of a few numbers on the context.
#[inline(always)]
fn hidden(inputs: &[f32; WIDTH], weights: &[[f32; CONTEXTS]; HIDDEN], bias: &[f32; HIDDEN]) -> [f32; HIDDEN] {
    std::array::from_fn(|h| (0..CONTEXTS).fold(bias[h], |sum, i| sum + inputs[i] * weights[h][i]))
}

impl Net {
    #[expect(clippy::needless_range_loop, reason = "sums of several arrays go through the same numbers at a time")]
    #[inline(always)]
    fn score(&self, inputs: &[f32; WIDTH]) -> f32 {
        let look = hidden(inputs, &self.look, &self.look_bias).map(f32::tanh);
        let (mut gain, mut shift, mut rise, mut bend) = ([0.0; UNITS], self.bias, [0.0; UNITS], self.bend_bias);
        for h in 0..HIDDEN {
            for u in 0..UNITS {
                gain[u] += look[h] * self.gain[h][u];
                shift[u] += look[h] * self.shift[h][u];
            }
        }
        for i in 0..DISTANCES {
            for u in 0..UNITS {
                rise[u] += inputs[CONTEXTS + i] * self.rise[i][u];
            }
        }
        for i in 0..WIDTH {
            for u in 0..UNITS {
                bend[u] += inputs[i] * self.bend[i][u];
            }
        }
        let (mut fall, mut bent) = (0.0, 0.0);
        for u in 0..UNITS {
            let x = rise[u] * gain[u].exp() + shift[u];
            fall += self.cost[u] / (1.0 + (-x).exp());
            bent += bend[u].tanh() * self.bend_out[u];
        }
        self.top - fall + BEND * bent.tanh()
    }

    #[inline(always)]
    fn weight(&self, inputs: &[f32; WIDTH]) -> f32 {
        let units = hidden(inputs, &self.weigh, &self.weigh_bias);
        let sum = (0..HIDDEN).fold(0.0, |sum, h| sum + units[h].max(0.0) * self.weigh_out[h]);
        softplus(sum + 0.54) + 1e-3
    }
}
