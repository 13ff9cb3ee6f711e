//! Choosing and observing allocate nothing. In a binary of its own, because the counter counts for the whole process.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use allocation_counter::measure;
use costing::Pico;
use experiments::bandit::Dice;
use routing_learned::online::{Contextual, Rule, Settings, project};
use routing_learned::pacing::BudgetPacer;

#[test]
fn choosing_and_observing_allocate_nothing() {
    for rule in [Rule::LinUcb { alpha: 0.05 }, Rule::Thompson { spread: 0.3 }] {
        let settings = Settings {
            rule,
            exploration: 0.05,
        };
        let mut policy = Contextual::new(16, settings).unwrap();
        for _ in 0..12 {
            policy.add_arm(&[0.0; 16], 1.0).unwrap();
        }
        let mut dice = Dice::new(1);
        let mut pacer = BudgetPacer::new(Pico::new(1_000), BudgetPacer::STEP).unwrap();
        let features = [(3, 0.5), (70, -0.2), (12_345, 0.1)];
        let info = measure(|| {
            for request in 0..100 {
                let mut context = [1.0; 16];
                project(&features, request, &mut context[1..]).unwrap();
                let price = Some(pacer.weight(Pico::new(700)).unwrap());
                let prices = [price; 12];
                let chosen = policy
                    .select(black_box(&context), &prices, pacer.lambda(), &mut dice)
                    .unwrap();
                policy.observe(chosen.arm, &context, 0.7).unwrap();
                pacer.observe(Pico::new(1_200)).unwrap();
            }
        });
        assert_eq!(info.count_total, 0, "{rule:?}");
    }
    let counted = measure(|| drop(black_box(vec![1_u8])));
    assert_eq!(counted.count_total, 1, "the counter counts");
}
