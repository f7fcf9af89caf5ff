"""The pictures of the Watch screen: each makes a title and a chart from a `RunView` and its options. Pure."""
