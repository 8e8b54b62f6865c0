"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-conv-stamp": {
        "right": {
            "pixel by pixel": """
                k, length = len(w), s * (len(y) - 1) + len(w) + o
                out = []
                for t in range(p, length - p):
                    out.append(sum(y[i] * w[t - s * i] for i in range(len(y)) if 0 <= t - s * i < k))
                return torch.stack([torch.as_tensor(value, dtype=y.dtype) for value in out])
            """,
            "spread, then convolve": """
                spread = torch.zeros(s * (len(y) - 1) + 1, dtype=y.dtype)
                spread[::s] = y
                full = F.conv1d(spread[None, None], w.flip(0)[None, None], padding=len(w) - 1)[0, 0]
                full = torch.cat([full, torch.zeros(o)])
                return full[p : len(full) - p]
            """,
        },
        "wrong": {
            "overwrites": (
                "overwrite each other",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] = y[i] * w
                return canvas[p : len(canvas) - p]
                """,
            ),
            "kernel turned round": (
                "turned round",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] += y[i] * w.flip(0)
                return canvas[p : len(canvas) - p]
                """,
            ),
            "output padding in front": (
                "at the end",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[o + s * i : o + s * i + len(w)] += y[i] * w
                return canvas[p : len(canvas) - p]
                """,
            ),
            "y left out": (
                "times y[i]",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] += w
                return canvas[p : len(canvas) - p]
                """,
            ),
            "no padding cut": (
                "shape",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] += y[i] * w
                return canvas
                """,
            ),
            "cut by -p": (
                "shape",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] += y[i] * w
                return canvas[p:-p]
                """,
            ),
            "no stride": (
                "shape",
                """
                canvas = torch.zeros(len(y) - 1 + len(w) + o)
                for i in range(len(y)):
                    canvas[i : i + len(w)] += y[i] * w
                return canvas[p : len(canvas) - p]
                """,
            ),
            "no output padding": (
                "shape",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w))
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] += y[i] * w
                return canvas[p : len(canvas) - p]
                """,
            ),
            "cut at one end": (
                "",
                """
                canvas = torch.zeros(s * (len(y) - 1) + len(w) + o)
                for i in range(len(y)):
                    canvas[s * i : s * i + len(w)] += y[i] * w
                return canvas[: len(canvas) - 2 * p]
                """,
            ),
        },
    },
    "ex-conv-even": {
        "right": {
            "a loop": """
                widths = [*reversed(channels), 1]
                layers = [nn.Linear(z_dim, widths[0] * 4 * 4), nn.Unflatten(1, (widths[0], 4, 4))]
                for before, after in zip(widths, widths[1:]):
                    layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
                return nn.Sequential(*layers, nn.Flatten())
            """,
            "a module": """
                class Up(nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.start = nn.Linear(z_dim, channels[2] * 16)
                        self.one = nn.ConvTranspose2d(channels[2], channels[1], 4, 2, 1)
                        self.two = nn.ConvTranspose2d(channels[1], channels[0], 4, 2, 1)
                        self.three = nn.ConvTranspose2d(channels[0], 1, 4, 2, 1)
                    def forward(self, z):
                        h = torch.relu(self.start(z)).view(-1, channels[2], 4, 4)
                        h = torch.relu(self.two(torch.relu(self.one(h))))
                        return self.three(h).flatten(1)
                return Up()
            """,
        },
        "wrong": {
            "kernel 3": (
                "kernel, stride and padding",
                """
                a, b, c = channels
                up = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}
                return nn.Sequential(
                    nn.Linear(z_dim, c * 16), nn.ReLU(), nn.Unflatten(1, (c, 4, 4)),
                    nn.ConvTranspose2d(c, b, **up), nn.ReLU(), nn.ConvTranspose2d(b, a, **up), nn.ReLU(),
                    nn.ConvTranspose2d(a, 1, **up), nn.Flatten(),
                )
                """,
            ),
            "no flatten": (
                "five rows",
                """
                a, b, c = channels
                up = {"kernel_size": 4, "stride": 2, "padding": 1}
                return nn.Sequential(
                    nn.Linear(z_dim, c * 16), nn.ReLU(), nn.Unflatten(1, (c, 4, 4)),
                    nn.ConvTranspose2d(c, b, **up), nn.ReLU(), nn.ConvTranspose2d(b, a, **up), nn.ReLU(),
                    nn.ConvTranspose2d(a, 1, **up),
                )
                """,
            ),
            "no nonlinearity": (
                "linear",
                """
                a, b, c = channels
                up = {"kernel_size": 4, "stride": 2, "padding": 1}
                return nn.Sequential(
                    nn.Linear(z_dim, c * 16), nn.Unflatten(1, (c, 4, 4)), nn.ConvTranspose2d(c, b, **up),
                    nn.ConvTranspose2d(b, a, **up), nn.ConvTranspose2d(a, 1, **up), nn.Flatten(),
                )
                """,
            ),
            "ReLU at the end": (
                "after the last layer",
                """
                a, b, c = channels
                up = {"kernel_size": 4, "stride": 2, "padding": 1}
                return nn.Sequential(
                    nn.Linear(z_dim, c * 16), nn.ReLU(), nn.Unflatten(1, (c, 4, 4)),
                    nn.ConvTranspose2d(c, b, **up), nn.ReLU(), nn.ConvTranspose2d(b, a, **up), nn.ReLU(),
                    nn.ConvTranspose2d(a, 1, **up), nn.ReLU(), nn.Flatten(),
                )
                """,
            ),
            "sigmoid at the end": (
                "after the last layer",
                """
                a, b, c = channels
                up = {"kernel_size": 4, "stride": 2, "padding": 1}
                return nn.Sequential(
                    nn.Linear(z_dim, c * 16), nn.ReLU(), nn.Unflatten(1, (c, 4, 4)),
                    nn.ConvTranspose2d(c, b, **up), nn.ReLU(), nn.ConvTranspose2d(b, a, **up), nn.ReLU(),
                    nn.ConvTranspose2d(a, 1, **up), nn.Sigmoid(), nn.Flatten(),
                )
                """,
            ),
            "channels not reversed": (
                "reads the list backwards",
                """
                a, b, c = channels
                up = {"kernel_size": 4, "stride": 2, "padding": 1}
                return nn.Sequential(
                    nn.Linear(z_dim, a * 16), nn.ReLU(), nn.Unflatten(1, (a, 4, 4)),
                    nn.ConvTranspose2d(a, b, **up), nn.ReLU(), nn.ConvTranspose2d(b, c, **up), nn.ReLU(),
                    nn.ConvTranspose2d(c, 1, **up), nn.Flatten(),
                )
                """,
            ),
            "sizes hard-coded": (
                "",
                """
                up = {"kernel_size": 4, "stride": 2, "padding": 1}
                return nn.Sequential(
                    nn.Linear(10, 32 * 16), nn.ReLU(), nn.Unflatten(1, (32, 4, 4)),
                    nn.ConvTranspose2d(32, 16, **up), nn.ReLU(), nn.ConvTranspose2d(16, 8, **up), nn.ReLU(),
                    nn.ConvTranspose2d(8, 1, **up), nn.Flatten(),
                )
                """,
            ),
            "28 by 28": ("five rows", "return nn.Sequential(nn.Linear(z_dim, 784))"),
            "a dense network": (
                "kernel, stride and padding",
                "return nn.Sequential(nn.Linear(z_dim, 100), nn.ReLU(), nn.Linear(100, 1024))",
            ),
        },
    },
}
