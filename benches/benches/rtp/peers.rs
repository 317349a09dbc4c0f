pub(crate) fn measure() {}
