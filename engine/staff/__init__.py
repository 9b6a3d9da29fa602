"""What people do: who they are, what they may, what they write down. Kept in `staff.db`."""
