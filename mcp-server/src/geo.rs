//! Points on the earth and the way between them. Pure; floating point, because coordinates are measurements.

use geographiclib_rs::{Geodesic, InverseGeodesic as _};

/// A point on the earth's surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// Longest text that is read as coordinates, bytes.
const BYTES_MAX: usize = 64;

impl Point {
    /// `None` where there is no such point: beyond a pole, more than half around, or no number.
    #[must_use]
    pub(crate) fn new(latitude: f64, longitude: f64) -> Option<Point> {
        let there = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        there.then_some(Point {
            latitude,
            longitude,
        })
    }

    /// Reads "-1.9441,30.0619": degrees north, then degrees east, with a comma, a semicolon or a space between. `None` for anything
    /// else, a name for example.
    #[must_use]
    pub(crate) fn read(text: &str) -> Option<Point> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let plain = text.replace('\u{2212}', "-").replace('°', " ");
        let mut parts = plain
            .split(|c: char| matches!(c, ',' | ';') || c.is_whitespace())
            .filter(|part| !part.is_empty());
        let (latitude, longitude) = (degrees(parts.next()?)?, degrees(parts.next()?)?);
        match parts.next() {
            None => Point::new(latitude, longitude),
            Some(_) => None,
        }
    }

    /// The shortest way over the WGS84 ellipsoid, in whole metres. Exact to the metre between any two points.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "half around the earth is 20 004 km, and the way between two points is never no number"
    )]
    pub(crate) fn metres_to(self, other: Point) -> i64 {
        let metres: f64 = Geodesic::wgs84().inverse(
            self.latitude,
            self.longitude,
            other.latitude,
            other.longitude,
        );
        metres.round() as i64
    }
}

/// Plain digits with a sign and a point: `parse` alone would take "inf" and "1e2".
fn degrees(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metres(from: (f64, f64), to: (f64, f64)) -> i64 {
        let point = |(latitude, longitude)| Point::new(latitude, longitude).unwrap();
        point(from).metres_to(point(to))
    }

    #[test]
    fn distances_are_those_of_the_ellipsoid() {
        // Published test line of GeographicLib: New York to Paris.
        assert_eq!(metres((40.6, -73.8), (49.016_666_67, 2.55)), 5_853_226);
        // A degree along the equator and along a meridian differ: the earth is no sphere.
        assert_eq!(metres((0.0, 0.0), (0.0, 1.0)), 111_319);
        assert_eq!(metres((0.0, 0.0), (1.0, 0.0)), 110_574);
        // From pole to pole, across the date line, and almost half around, where simple formulas fail.
        assert_eq!(metres((90.0, 0.0), (-90.0, 0.0)), 20_003_931);
        assert_eq!(metres((0.0, 179.5), (0.0, -179.5)), 111_319);
        assert_eq!(metres((0.0, 0.0), (0.5, 179.7)), 19_944_127);
        assert_eq!(metres((-1.9441, 30.0619), (-1.9441, 30.0619)), 0);
    }

    #[test]
    fn coordinates_are_read_and_names_are_not() {
        let kigali = Point::new(-1.9441, 30.0619);
        for text in [
            "-1.9441,30.0619",
            " -1.9441, 30.0619 ",
            "-1.9441 30.0619",
            "\u{2212}1.9441; +30.0619",
            "-1.9441° 30.0619°",
        ] {
            assert_eq!(Point::read(text), kigali, "{text}");
        }
        for text in [
            "",
            "Kigali",
            "1",
            "1,2,3",
            "91,0",
            "0,181",
            "inf,0",
            "nan nan",
            "1e1,2",
            "-,1",
            "1,9441;30,0619",
        ] {
            assert_eq!(Point::read(text), None, "{text}");
        }
        assert_eq!(Point::new(f64::NAN, 0.0), None);
        assert_eq!(Point::new(0.0, f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn a_way_is_as_long_back_and_never_beyond_half_around(
            a in -90.0..=90.0_f64, b in -180.0..=180.0_f64, c in -90.0..=90.0_f64, d in -180.0..=180.0_f64
        ) {
            let there = metres((a, b), (c, d));
            prop_assert!((there - metres((c, d), (a, b))).abs() <= 1);
            prop_assert!((0..=20_003_931).contains(&there));
        }
    }
}
