//! What several runs say together.

pub fn median(numbers: &[f64]) -> f64 {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The median, and the least and the most.
pub fn spread(numbers: &[f64], digits: usize) -> String {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    format!("{:7.digits$} ({least:.digits$} to {most:.digits$})", median(numbers))
}
