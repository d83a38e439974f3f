//! The code on a printed bill: a bill's address that a telephone reads off paper.

use krilla::geom::{Path, PathBuilder, Rect};
use qrcode::{Color, EcLevel, QrCode};

/// A square of dark and light modules.
pub(super) struct Code {
    side: u16,
    dark: Vec<bool>,
}

impl Code {
    /// The code of a text. Fifteen of a hundred modules may be lost to creases and stains.
    ///
    /// # Errors
    /// When the text is longer than any code can hold.
    pub(super) fn of(text: &str) -> Result<Code, String> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)
            .map_err(|error| format!("code: {error}"))?;
        Ok(Code {
            side: u16::try_from(code.width()).map_err(|e| e.to_string())?,
            dark: code.to_colors().iter().map(|c| *c == Color::Dark).collect(),
        })
    }

    /// The dark modules as one shape whose upper left corner is at `x`, `y`: a bar for each run of them, so that no seams show.
    pub(super) fn shape(&self, x: f32, y: f32, size: f32) -> Option<Path> {
        let module = size / f32::from(self.side);
        let mut shape = PathBuilder::new();
        for (row, modules) in (0_u16..).zip(self.dark.chunks(usize::from(self.side))) {
            let mut column = 0_u16;
            for bar in modules.chunk_by(|a, b| a == b) {
                let length = u16::try_from(bar.len()).ok()?;
                if bar.first() == Some(&true) {
                    shape.push_rect(Rect::from_xywh(
                        x + f32::from(column) * module,
                        y + f32::from(row) * module,
                        f32::from(length) * module,
                        module,
                    )?);
                }
                column += length;
            }
        }
        shape.finish()
    }
}
