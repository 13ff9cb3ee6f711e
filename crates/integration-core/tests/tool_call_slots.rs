//! Which pieces of a stream belong to the same tool call.
#![allow(clippy::unwrap_used)]

use integration_core::chat::ToolCallSlots;
use proptest::prelude::*;

type Piece = (Option<u32>, Option<&'static str>);

/// The slots of pieces of choice 0, and which of them are first.
fn slots(pieces: &[Piece]) -> Vec<(u32, bool)> {
    let mut slots = ToolCallSlots::default();
    pieces
        .iter()
        .map(|(index, id)| slots.slot(0, *index, *id))
        .collect()
}

#[test]
fn the_wire_as_it_should_be() {
    let pieces = [
        (Some(0), Some("a")),
        (Some(0), None),
        (Some(1), Some("b")),
        (Some(1), None),
        (Some(0), None),
    ];
    assert_eq!(
        slots(&pieces),
        [(0, true), (0, false), (1, true), (1, false), (0, false)]
    );
}

#[test]
fn every_call_has_the_index_0() {
    let pieces = [
        (Some(0), Some("a")),
        (Some(0), None),
        (Some(0), Some("b")),
        (Some(0), None),
        (Some(0), Some("a")),
    ];
    assert_eq!(
        slots(&pieces),
        [(0, true), (0, false), (1, true), (1, false), (0, false)]
    );
}

#[test]
fn the_index_is_missing() {
    let pieces = [
        (None, Some("a")),
        (None, None),
        (None, Some("b")),
        (None, None),
        (None, Some("a")),
    ];
    assert_eq!(
        slots(&pieces),
        [(0, true), (0, false), (1, true), (1, false), (0, false)]
    );
    assert_eq!(slots(&[(None, None), (None, None)]), [(0, true), (0, false)]);
}

#[test]
fn the_id_is_repeated_with_every_piece() {
    let pieces = [
        (Some(0), Some("a")),
        (Some(0), Some("a")),
        (Some(1), Some("b")),
        (Some(1), Some("b")),
    ];
    assert_eq!(slots(&pieces), [(0, true), (0, false), (1, true), (1, false)]);
}

#[test]
fn the_id_is_empty_after_the_first_piece() {
    assert_eq!(
        slots(&[(Some(0), Some("a")), (Some(0), Some(""))]),
        [(0, true), (0, false)]
    );
    assert_eq!(
        slots(&[(None, Some("a")), (None, Some(""))]),
        [(0, true), (0, false)]
    );
}

#[test]
fn the_id_comes_late() {
    let pieces = [
        (Some(0), None),
        (Some(0), Some("a")),
        (Some(0), Some("a")),
        (Some(0), Some("b")),
    ];
    assert_eq!(slots(&pieces), [(0, true), (0, false), (0, false), (1, true)]);
}

#[test]
fn one_id_for_several_indices_is_several_calls() {
    let pieces = [
        (Some(0), Some("f")),
        (Some(1), Some("f")),
        (Some(0), Some("f")),
        (Some(1), None),
    ];
    assert_eq!(slots(&pieces), [(0, true), (1, true), (0, false), (1, false)]);
}

#[test]
fn indices_need_not_start_at_0() {
    assert_eq!(
        slots(&[(Some(7), Some("a")), (Some(3), Some("b")), (Some(7), None)]),
        [(0, true), (1, true), (0, false)]
    );
}

#[test]
fn choices_count_apart() {
    let mut slots = ToolCallSlots::default();
    assert_eq!(slots.slot(0, Some(0), Some("a")), (0, true));
    assert_eq!(slots.slot(1, Some(0), Some("a")), (0, true));
    assert_eq!(slots.slot(1, Some(0), None), (0, false));
    assert_eq!(slots.slot(0, Some(1), Some("b")), (1, true));
}

proptest! {
    /// Whatever comes, slots begin at 0 and leave no gap, so a fold never refuses them.
    #[test]
    fn slots_never_leave_a_gap(pieces in proptest::collection::vec((0u32..2, proptest::option::of(0u32..3), proptest::option::of("[abc]?")), 0..40)) {
        let mut slots = ToolCallSlots::default();
        let mut next = [0u32; 2];
        for (choice, index, id) in pieces {
            let (slot, first) = slots.slot(choice, index, id.as_deref());
            let next = &mut next[choice as usize];
            prop_assert_eq!(first, slot == *next);
            prop_assert!(slot <= *next);
            *next += u32::from(first);
        }
    }

    /// With an index of its own and an id in the first piece only, any interleaving is told apart.
    #[test]
    fn interleaved_calls_are_told_apart(order in proptest::collection::vec(0u32..5, 1..60)) {
        let mut slots = ToolCallSlots::default();
        let mut seen: Vec<u32> = Vec::new();
        for call in order {
            let first = !seen.contains(&call);
            if first {
                seen.push(call);
            }
            let id = first.then(|| format!("call-{call}"));
            let expected = seen.iter().position(|c| *c == call).unwrap() as u32;
            prop_assert_eq!(slots.slot(0, Some(call), id.as_deref()), (expected, first));
        }
    }
}
