"""Detection measured on public recorded sets, each by a profile beside this file, with the rules they are judged by."""
