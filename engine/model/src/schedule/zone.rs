//! Time zones by name.

use chrono_tz::{TZ_VARIANTS, Tz};

use super::ScheduleError;

/// The zone of that name, `Europe/Berlin`; upper and lower case do not matter.
pub fn zone(name: &str) -> Result<Tz, ScheduleError> {
    TZ_VARIANTS
        .iter()
        .find(|zone| zone.name().eq_ignore_ascii_case(name))
        .copied()
        .ok_or_else(|| ScheduleError::Zone {
            name: name.to_owned(),
            nearest: nearest(name),
        })
}

/// A person who writes `Berlin` means the zone that ends so; one who mistypes, the nearest.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = format!("/{name}");
    names()
        .find(|known| known.to_ascii_lowercase().ends_with(&city))
        .or_else(|| {
            names()
                .map(|known| {
                    (
                        strsim::levenshtein(&known.to_ascii_lowercase(), &name),
                        known,
                    )
                })
                .min()
                .filter(|(distance, _)| *distance <= 3)
                .map(|(_, known)| known)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_whatever_the_case() {
        assert_eq!(zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
        assert_eq!(zone("europe/berlin"), Ok(Tz::Europe__Berlin));
        assert_eq!(zone("utc"), Ok(Tz::UTC));
    }

    #[test]
    fn an_unknown_zone_is_answered_with_the_nearest() {
        let check = |name: &str, expected: &str| {
            assert_eq!(zone(name).unwrap_err().to_string(), expected);
        };
        check(
            "Berlin",
            "unknown time zone `Berlin`; did you mean `Europe/Berlin`?",
        );
        check(
            "Europe/Berln",
            "unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?",
        );
        check("Middle-earth/Bree", "unknown time zone `Middle-earth/Bree`");
    }
}
