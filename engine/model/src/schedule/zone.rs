//! Time zones by name.

use chrono_tz::{TZ_VARIANTS, Tz};

use super::ScheduleError;

/// Finds a zone by its name, for example `Europe/Berlin`, in any case.
pub fn find_zone(name: &str) -> Result<Tz, ScheduleError> {
    TZ_VARIANTS
        .iter()
        .find(|zone| zone.name().eq_ignore_ascii_case(name))
        .copied()
        .ok_or_else(|| ScheduleError::Zone {
            name: name.to_owned(),
            nearest: nearest(name),
        })
}

/// Suggests a zone for an unknown name: the zone of a city without its continent, or the most similar name.
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
        assert_eq!(find_zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
        assert_eq!(find_zone("europe/berlin"), Ok(Tz::Europe__Berlin));
        assert_eq!(find_zone("utc"), Ok(Tz::UTC));
    }

    #[test]
    fn an_unknown_zone_is_answered_with_the_nearest() {
        let check = |name: &str, expected: &str| {
            assert_eq!(find_zone(name).unwrap_err().to_string(), expected);
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
