//! What a network's logits say.

pub use stria_core::network::input::softmax_in_place;

/// Indices of the `k` largest logits, largest first; of equal ones the first comes first.
pub fn top_k(logits: &[i32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(logits[i]));
    order.truncate(k);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_keep_their_order() {
        assert_eq!(top_k(&[3, 9, 9, -1], 3), [1, 2, 0]);
        assert_eq!(top_k(&[3], 5), [0]);
    }
}
