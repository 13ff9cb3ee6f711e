//! What `cargo bench` and criterion's users pass to a bench.

/// The part of criterion's arguments that a bench with a harness of its own goes by. All others are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Whether everything is to run once and small: with `--test`, and without `--bench`, as `cargo test` starts a bench.
    pub test: bool,
    /// Whether names are to be listed and nothing is to run.
    pub list: bool,
    /// What the names of what runs contain. Criterion's filter is a regular expression; this one is plain text.
    pub filter: Option<String>,
}

/// Options of criterion that are followed by a value, which is no filter.
const WITH_VALUE: [&str; 18] = [
    "-b",
    "--baseline",
    "--baseline-lenient",
    "-c",
    "--color",
    "--confidence-level",
    "--load-baseline",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--output-format",
    "--plotting-backend",
    "--profile-time",
    "-s",
    "--sample-size",
    "--save-baseline",
    "--significance-level",
    "--warm-up-time",
];

impl Arguments {
    /// Reads the arguments after the name of the program.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut found = Self {
            test: true,
            ..Self::default()
        };
        let mut tested = false;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => found.test = false,
                "--test" => tested = true,
                "--list" => found.list = true,
                option if option.starts_with('-') => {
                    if WITH_VALUE.contains(&option) {
                        arguments.next();
                    }
                }
                _ => found.filter = Some(argument),
            }
        }
        found.test |= tested;
        found
    }

    /// Whether what has this name is to run.
    pub fn runs(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_arguments_of_criterion_are_understood() {
        assert_eq!(read("--bench"), Arguments::default());
        let baseline = read("--save-baseline main --quick --warm-up-time 1 --sample-size=10 --bench");
        assert_eq!(baseline, Arguments::default());
        let filtered = read("synthetic --save-baseline main --bench");
        assert_eq!(filtered.filter.as_deref(), Some("synthetic"));
        assert!(filtered.runs("routing_quality/synthetic") && !filtered.runs("routing_quality/mmlu"));
        assert!(read("--list --bench").list);
    }

    #[test]
    fn a_test_is_a_test_however_it_is_asked_for() {
        assert!(read("--bench --test").test && read("--test --bench").test);
        assert!(read("").test, "as `cargo test --benches` starts it");
        assert!(!read("--bench").test);
    }
}
