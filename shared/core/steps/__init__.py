"""The order of effects, one module per state of the machine. Every step goes through ports alone and may be killed between any two calls."""
