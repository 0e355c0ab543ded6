//! Parameters of KZG for tests. Whoever has this file knows their number, and can prove anything with them.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::Path,
};

use halo2_base::halo2_proofs::{
    arithmetic::Field,
    halo2curves::{
        bn256::{Bn256, Fr, G1, G1Affine, G2Affine},
        ff::{BatchInverter, PrimeField},
        group::{Curve, Group},
    },
    poly::{commitment::Params, kzg::commitment::ParamsKZG},
};
use openvm_stark_backend::p3_maybe_rayon::prelude::*;

/// Bits of a scalar that are looked up at once.
const WINDOW: usize = 12;

/// Multiples of the generator: for each window of a scalar, every value of its bits.
struct Multiples(Vec<Vec<G1Affine>>);

impl Multiples {
    fn new() -> Self {
        let mut base = G1::generator();
        let windows = 256usize.div_ceil(WINDOW);
        let of_window = |_| {
            let mut multiples = vec![G1::identity()];
            for i in 1..1 << WINDOW {
                multiples.push(multiples[i - 1] + base);
            }
            base = multiples[(1 << WINDOW) - 1] + base;
            affine(&multiples)
        };
        Self((0..windows).map(of_window).collect())
    }

    fn times(&self, scalar: &Fr) -> G1 {
        let bytes = scalar.to_repr();
        let digit = |window: usize| {
            let at = window * WINDOW;
            let byte = |i: usize| bytes.get(at / 8 + i).map_or(0, |&byte| usize::from(byte) << (8 * i));
            (byte(0) | byte(1) | byte(2)) >> (at % 8) & ((1 << WINDOW) - 1)
        };
        self.0.iter().enumerate().fold(G1::identity(), |sum, (window, multiples)| sum + multiples[digit(window)])
    }

    fn all(&self, scalars: &[Fr]) -> Vec<G1Affine> {
        scalars
            .par_chunks(1 << 14)
            .flat_map_iter(|scalars| affine(&scalars.iter().map(|scalar| self.times(scalar)).collect::<Vec<_>>()))
            .collect()
    }
}

fn affine(points: &[G1]) -> Vec<G1Affine> {
    let mut made = vec![G1Affine::default(); points.len()];
    G1::batch_normalize(points, &mut made);
    made
}

/// Writes parameters for 2^k coefficients whose number is `secret`, unless the file is there.
pub fn write(path: &Path, k: u32, secret: Fr) {
    if path.exists() {
        return;
    }
    let n = 1usize << k;
    let multiples = Multiples::new();
    let mut powers = Vec::with_capacity(n);
    let mut power = Fr::ONE;
    for _ in 0..n {
        powers.push(power);
        power *= secret;
    }
    // `power` is sⁿ now. The Lagrange polynomial of ωⁱ is (sⁿ − 1)·ωⁱ / (n·(s − ωⁱ)) at s.
    let omega = (k..Fr::S).fold(Fr::ROOT_OF_UNITY, |root, _| root.square());
    let factor = (power - Fr::ONE) * Fr::from(n as u64).invert().expect("n is below the order");
    let mut roots = Vec::with_capacity(n);
    let mut root = Fr::ONE;
    for _ in 0..n {
        roots.push(root);
        root *= omega;
    }
    let mut lagrange: Vec<Fr> = roots.iter().map(|root| secret - root).collect();
    let mut scratch = vec![Fr::ZERO; n];
    BatchInverter::invert_with_external_scratch(&mut lagrange, &mut scratch);
    lagrange.iter_mut().zip(&roots).for_each(|(value, root)| *value *= factor * root);
    let g2 = G2Affine::generator();
    let small = ParamsKZG::<Bn256>::setup(1, rand_core::OsRng);
    let (g, g_lagrange) = (multiples.all(&powers), multiples.all(&lagrange));
    let params = small.from_parts(k, g, Some(g_lagrange), g2, (g2 * secret).to_affine());
    let temporary = path.with_extension("tmp");
    let mut file = BufWriter::new(File::create(&temporary).expect("a file can be made"));
    params.write(&mut file).expect("it can be written");
    drop(file);
    fs::rename(&temporary, path).expect("it can be renamed");
}
