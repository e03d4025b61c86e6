"""A rehearsal of a class: seats that behave like people, and a report that says whether the lab is fit for it."""
