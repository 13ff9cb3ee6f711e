//! Ratings from contests, and the sign test.

#![allow(missing_docs, clippy::unwrap_used)]

use experiments::preference::{Contests, Elo, Ratings, bradley_terry, sign_test};
use experiments::statistics::{Alternative, Level, StatisticsError};
use proptest::prelude::*;

const GAMES: [(&str, &str, u32); 10] = [
    ("a", "b", 7),
    ("b", "a", 3),
    ("a", "c", 12),
    ("c", "a", 4),
    ("b", "c", 6),
    ("c", "b", 6),
    ("d", "a", 2),
    ("a", "d", 9),
    ("d", "c", 5),
    ("c", "d", 8),
];

fn played() -> Contests {
    let mut contests = Contests::new(["a", "b", "c", "d"]).unwrap();
    for (winner, loser, times) in GAMES {
        for _ in 0..times {
            contests.won(winner, loser).unwrap();
        }
    }
    for (a, b, times) in [("b", "d", 3), ("a", "c", 2)] {
        for _ in 0..times {
            contests.tied(a, b).unwrap();
        }
    }
    contests
}

fn check(ratings: &Ratings, wanted: &[(f64, f64)]) {
    for (rating, (points, se)) in ratings.all().iter().zip(wanted) {
        assert!((rating.rating - points).abs() < 1e-4, "{rating:?} {points}");
        assert!((rating.se - se).abs() < 1e-4, "{rating:?} {se}");
        let half = 1.959_963_985 * se;
        assert!((rating.interval.high - points - half).abs() < 1e-3);
        assert!((rating.interval.low - points + half).abs() < 1e-3);
    }
}

/// numpy 2.4.6 and scipy 1.17.1: `optimize.minimize` (BFGS) of the negative log-likelihood, `linalg.pinv` of the information.
#[test]
fn ratings_are_the_likeliest() {
    let ratings = bradley_terry(&played(), 0.0, Level::default()).unwrap();
    check(
        &ratings,
        &[
            (1_143.061_021, 48.498_364),
            (975.179_460, 55.803_675),
            (978.863_978, 41.829_641),
            (902.895_541, 56.524_688),
        ],
    );
    let (points, interval) = ratings.difference("a", "b").unwrap();
    assert!((points - (1_143.061_021 - 975.179_460)).abs() < 1e-4);
    assert!((interval.high - points - 1.959_963_985 * 84.975_232_503).abs() < 1e-3);
    let p = ratings.preferred("a", "b").unwrap();
    assert!((p - 1.0 / (1.0 + 10_f64.powf(-points / 400.0))).abs() < 1e-12);

    let ridged = bradley_terry(&played(), 0.5, Level::default()).unwrap();
    check(
        &ridged,
        &[
            (1_135.858_735, 46.678_755),
            (975.781_500, 53.705_715),
            (979.351_244, 40.866_926),
            (909.008_521, 54.087_474),
        ],
    );
}

/// One who never lost: no rating without a ridge, and the message says whom it concerns.
#[test]
fn who_never_lost_has_no_rating() {
    let mut contests = Contests::new(["x", "y", "z"]).unwrap();
    for (winner, loser, times) in [("x", "y", 5), ("y", "z", 4), ("z", "y", 2)] {
        for _ in 0..times {
            contests.won(winner, loser).unwrap();
        }
    }
    let Err(StatisticsError::NoSupport(why)) = bradley_terry(&contests, 0.0, Level::default()) else {
        unreachable!("x never lost");
    };
    assert!(why.contains("[x] [y, z]"), "{why}");
    let ridged = bradley_terry(&contests, 0.1, Level::default()).unwrap();
    // numpy 2.4.6 and scipy 1.17.1, as above.
    check(
        &ridged,
        &[
            (1_388.613_330, 221.793_948),
            (856.846_170, 121.964_888),
            (754.540_501, 142.129_039),
        ],
    );
    // Nobody has met at all.
    assert!(bradley_terry(&Contests::new(["x", "y"]).unwrap(), 0.0, Level::default()).is_err());
    // A tie connects both ways.
    let mut tied = Contests::new(["x", "y"]).unwrap();
    tied.tied("x", "y").unwrap();
    let even = bradley_terry(&tied, 0.0, Level::default()).unwrap();
    assert!(
        even.all()
            .iter()
            .all(|rating| (rating.rating - 1000.0).abs() < 1e-9)
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert!(Contests::new(Vec::<String>::new()).is_err());
    assert!(Contests::new(["a"]).is_err());
    assert!(Contests::new(["a", "a"]).is_err());
    assert!(Contests::new((0..501).map(|n| n.to_string())).is_err());
    let mut contests = played();
    assert!(contests.won("a", "a").is_err() && contests.won("a", "nobody").is_err());
    assert!(contests.merge(&Contests::new(["a", "b"]).unwrap()).is_err());
    assert_eq!(contests, played(), "and nothing was added");
    for ridge in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(bradley_terry(&contests, ridge, Level::default()).is_err());
    }
    let ratings = bradley_terry(&contests, 0.0, Level::default()).unwrap();
    assert!(ratings.difference("a", "nobody").is_err());
    for k in [0.0, -1.0, f64::NAN, 1e9] {
        assert!(Elo::new(k).is_err());
    }
    assert!(Elo::new(16.0).unwrap().won("a", "a").is_err());
    assert!(sign_test(0, 0, Alternative::TwoSided, Level::default()).is_err());
    let text = serde_json::to_string(&contests).unwrap();
    assert_eq!(serde_json::from_str::<Contests>(&text).unwrap(), contests);
    for bad in [
        r#"{"names":["a","b"],"halves":[[0,2]]}"#,
        r#"{"names":["a","b"],"halves":[[1,2],[0,0]]}"#,
        r#"{"names":["a","a"],"halves":[[0,2],[0,0]]}"#,
    ] {
        assert!(serde_json::from_str::<Contests>(bad).is_err(), "{bad}");
    }
}

#[test]
fn elo_moves_as_published_and_depends_on_the_order() {
    let mut elo = Elo::new(32.0).unwrap();
    elo.won("a", "b").unwrap();
    assert!((elo.rating("a") - 1016.0).abs() < 1e-9 && (elo.rating("b") - 984.0).abs() < 1e-9);
    // Expected 1/(1 + 10^(−32/400)) = 0.545922; a tie costs the better one 32·0.045922.
    elo.tied("a", "b").unwrap();
    assert!((elo.rating("a") - (1016.0 - 32.0 * 0.045_921_82)).abs() < 1e-5);
    let order = |games: &[(&str, &str)]| {
        let mut elo = Elo::new(32.0).unwrap();
        for (winner, loser) in games {
            elo.won(winner, loser).unwrap();
        }
        elo.rating("a")
    };
    assert!((order(&[("a", "b"), ("b", "a")]) - order(&[("b", "a"), ("a", "b")])).abs() > 1.0);
    let text = serde_json::to_string(&elo).unwrap();
    assert_eq!(serde_json::from_str::<Elo>(&text).unwrap(), elo);
}

/// scipy 1.17.1, `stats.binomtest` and `proportion_ci(.95, "exact")`.
#[test]
fn sign_tests_are_exact() {
    use Alternative::{Greater, Less, TwoSided};
    for (wins, losses, alternative, p, low, high) in [
        (8, 2, TwoSided, 0.109_375, 0.443_904_537_692, 0.974_789_273_673),
        (8, 2, Greater, 0.054_687_5, 0.493_098_698_937, 1.0),
        (8, 2, Less, 0.989_257_812_5, 0.0, 0.963_228_562_113),
        (5, 0, TwoSided, 0.062_5, 0.478_176_249_895, 1.0),
        (5, 0, Less, 1.0, 0.0, 1.0),
        (0, 6, TwoSided, 0.031_25, 0.0, 0.459_258_126_440),
        (0, 6, Greater, 1.0, 0.0, 1.0),
        (
            620,
            540,
            TwoSided,
            0.020_327_311_153,
            0.505_290_269_516,
            0.563_499_990_053,
        ),
        (
            33,
            40,
            TwoSided,
            0.482_788_556_844,
            0.335_170_782_388,
            0.572_950_048_413,
        ),
        (33, 40, Less, 0.241_394_278_422, 0.0, 0.554_821_569_883),
    ] {
        let test = sign_test(wins, losses, alternative, Level::default()).unwrap();
        assert!(
            (test.p_value - p).abs() < 1e-9,
            "{wins} {losses}: {}",
            test.p_value
        );
        assert!(
            (test.interval.low - low).abs() < 1e-8,
            "{wins} {losses}: {:?}",
            test.interval
        );
        assert!(
            (test.interval.high - high).abs() < 1e-8,
            "{wins} {losses}: {:?}",
            test.interval
        );
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    /// Neither the order of contests, nor that of names, nor on which node they were seen changes a rating; and the ratings are
    /// where the minorise-maximise steps of Hunter 2004 end.
    #[test]
    fn ratings_do_not_depend_on_order(games in prop::collection::vec((0_usize..4, 0_usize..4, any::<bool>()), 20..80), cut in 0_usize..80) {
        let mut games = games;
        games.retain(|(a, b, _)| a != b);
        let fill = |contests: &mut Contests, games: &[(usize, usize, bool)]| for (a, b, tie) in games {
            if *tie { contests.tied(NAMES[*a], NAMES[*b]).unwrap() } else { contests.won(NAMES[*a], NAMES[*b]).unwrap() }
        };
        let mut forward = Contests::new(NAMES).unwrap();
        fill(&mut forward, &games);
        let mut turned = NAMES;
        turned.reverse();
        let mut backward = Contests::new(turned).unwrap();
        games.reverse();
        fill(&mut backward, &games);
        let (mut one, mut two) = (Contests::new(NAMES).unwrap(), Contests::new(NAMES).unwrap());
        let cut = cut.min(games.len());
        fill(&mut one, &games[..cut]);
        fill(&mut two, &games[cut..]);
        one.merge(&two).unwrap();
        prop_assert_eq!(&one, &forward);
        match (bradley_terry(&forward, 0.0, Level::default()), bradley_terry(&backward, 0.0, Level::default())) {
            (Ok(forward), Ok(backward)) => {
                let (forward, mut backward) = (forward.all(), backward.all());
                backward.reverse();
                for (a, b) in forward.iter().zip(&backward) {
                    prop_assert_eq!(&a.name, &b.name);
                    prop_assert!((a.rating - b.rating).abs() < 1e-5 && (a.se - b.se).abs() < 1e-5);
                }
                let mut won = [[0.0; 4]; 4];
                for (a, b, tie) in &games {
                    if *tie { won[*a][*b] += 0.5; won[*b][*a] += 0.5; } else { won[*a][*b] += 1.0; }
                }
                let strength: Vec<f64> = forward.iter().map(|rating| 10_f64.powf((rating.rating - 1000.0) / 400.0)).collect();
                for a in 0..4 {
                    let wins: f64 = won[a].iter().sum();
                    let expected: f64 = (0..4).map(|b| (won[a][b] + won[b][a]) * strength[a] / (strength[a] + strength[b])).sum();
                    prop_assert!((wins - expected).abs() < 1e-6, "{} {}", wins, expected);
                }
            }
            (forward, backward) => prop_assert!(forward.is_err() && backward.is_err()),
        }
    }

    /// The tail added up from Pascal's triangle.
    #[test]
    fn sign_test_by_counting(wins in 0_u64..25, losses in 0_u64..25) {
        prop_assume!(wins + losses > 0);
        let n = wins + losses;
        let choose = |k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        let tail = |from: u64| (from..=n).map(choose).sum::<f64>() / 2_f64.powi(n as i32);
        let greater = sign_test(wins, losses, Alternative::Greater, Level::default()).unwrap().p_value;
        prop_assert!((greater - tail(wins)).abs() < 1e-10);
        let both = sign_test(wins, losses, Alternative::TwoSided, Level::default()).unwrap();
        prop_assert!((both.p_value - (2.0 * tail(wins).min(tail(losses))).min(1.0)).abs() < 1e-10);
        // The interval leaves out a half just where the test finds a difference.
        prop_assert_eq!(both.interval.contains(0.5), both.p_value > 0.05);
    }
}
