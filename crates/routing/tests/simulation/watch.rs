//! Reads the executor's events and holds them against what must not happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use routing::RouteEvent;

use crate::world::{Setup, host};

/// What a watcher knows of a host. It is told by what hosts and breakers said, and never asks a breaker.
#[derive(Debug, Default, Clone)]
struct Known {
    cooling_until: Option<Instant>,
    /// Until when it is ejected, while its breaker is open.
    open_until: Option<Instant>,
    /// Which attempt is out to see whether it works again.
    probe: Option<(String, u16)>,
}

#[derive(Debug, Default)]
struct CallState {
    passed_over: BTreeSet<usize>,
    attempts: usize,
}

#[derive(Debug)]
pub struct Watch {
    hosts: Vec<Known>,
    calls: BTreeMap<String, CallState>,
    ejected: Vec<(usize, Duration)>,
    /// Calls and numbers of attempts that were made only because everybody was left alone.
    last_resorts: BTreeSet<(String, u16)>,
    ejection: Duration,
    longest: Duration,
}

impl Watch {
    pub fn new(setup: &Setup) -> Self {
        let breaker = setup.config.breaker;
        Self {
            hosts: vec![Known::default(); setup.hosts.len()],
            calls: BTreeMap::new(),
            ejected: Vec::new(),
            last_resorts: BTreeSet::new(),
            ejection: breaker.ejection,
            longest: breaker.longest_ejection.mul_f64(1.0 + breaker.jitter),
        }
    }

    pub fn ejected(&self) -> Vec<(usize, Duration)> {
        self.ejected.clone()
    }

    pub const fn last_resorts(&self) -> &BTreeSet<(String, u16)> {
        &self.last_resorts
    }

    /// Takes what happened at one moment.
    pub fn take(&mut self, events: Vec<RouteEvent>, since_start: Duration, now: Instant) {
        for event in events {
            match event {
                RouteEvent::BreakerOpened { target, until } => {
                    let lasts = until - now;
                    assert!(
                        lasts >= self.ejection && lasts <= self.longest,
                        "ejected for {lasts:?}"
                    );
                    let known = &mut self.hosts[host(&target)];
                    known.open_until = Some(until);
                    known.probe = None;
                    self.ejected.push((host(&target), since_start));
                }
                RouteEvent::BreakerClosed { target } => {
                    let known = &mut self.hosts[host(&target)];
                    known.open_until = None;
                    known.probe = None;
                }
                RouteEvent::Cooldown { target, until } => {
                    let known = &mut self.hosts[host(&target)];
                    assert!(until > now && known.cooling_until.is_none_or(|known| known <= until));
                    known.cooling_until = Some(until);
                }
                RouteEvent::PassedOver { request, target, .. } => {
                    let call = self.calls.entry(request.to_string()).or_default();
                    call.passed_over.insert(host(&target));
                }
                RouteEvent::AttemptBegun {
                    request,
                    number,
                    target,
                    probe,
                } => self.begun(request.as_str(), number, host(&target), probe, now),
                RouteEvent::AttemptEnded { request, number, .. } => {
                    let ended = Some((request.to_string(), number));
                    for known in self.hosts.iter_mut().filter(|known| known.probe == ended) {
                        known.probe = None;
                    }
                }
                RouteEvent::CallEnded { request, .. } => {
                    self.calls.remove(request.as_str());
                }
                _ => {}
            }
        }
    }

    fn begun(&mut self, request: &str, number: u16, host: usize, probe: bool, now: Instant) {
        // The call's name begins with the number of its targets.
        let targets: usize = request.split('-').next().unwrap().parse().unwrap();
        let call = self.calls.entry(request.to_owned()).or_default();
        let last_resort = call.passed_over.len() == targets && call.attempts == 0;
        call.attempts += 1;
        let known = &mut self.hosts[host];
        let cooling = known.cooling_until.is_some_and(|until| until > now);
        let ejected = known.open_until.is_some_and(|until| until > now);
        let probing = known.probe.is_some();
        if cooling || ejected || probing {
            assert!(
                last_resort,
                "attempt {number} of {request} went to host {host}, which is left alone: {known:?}"
            );
            self.last_resorts.insert((request.to_owned(), number));
        }
        if probe {
            assert!(known.open_until.is_some() && !probing, "a probe of {known:?}");
            known.probe = Some((request.to_owned(), number));
        }
    }
}
