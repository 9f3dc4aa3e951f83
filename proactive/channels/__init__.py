"""The channels that ship with Forewarn."""
