"""Imports what a distribution installs. Runs in a Python of the user image."""


def hubship_import(encoded):
    import base64
    import importlib
    import importlib.machinery
    import importlib.util
    import json
    from importlib import metadata

    class Report(dict):
        # The kernel shows the repr of an expression; JSON in ASCII has no
        # line break and no quote that it would change.
        def __repr__(self):
            return json.dumps(self)

        def _repr_pretty_(self, printer, cycle):
            printer.text(repr(self))

    def find(name):
        """The distribution of that name, or the one installed from that path or URL."""
        name = name.split("[")[0].strip()
        if "/" not in name:
            return metadata.distribution(name)
        wanted = name.split("#")[0].split("?")[0].rstrip("/")
        while wanted.startswith(("./", "../")):
            wanted = wanted.split("/", 1)[1]
        for dist in metadata.distributions():
            origin = dist.read_text("direct_url.json")
            if origin and ("/" + json.loads(origin).get("url", "")).rstrip("/").endswith("/" + wanted):
                return dist
        return metadata.distribution(wanted.rsplit("/", 1)[-1])

    def requirement(spec, version):
        """(problem, note) of what follows the name in a requirements file: [extras]specifier;marker."""
        if spec.startswith("["):
            spec = spec.partition("]")[2].strip()
        if spec.startswith("@"):
            return None, None  # an address names no version
        try:
            from packaging.markers import Marker
            from packaging.specifiers import SpecifierSet

            wanted, _, marker = spec.partition(";")
            if marker.strip() and not Marker(marker.strip()).evaluate():
                return None, "not wanted here: " + marker.strip()
            if version and wanted.strip() and not SpecifierSet(wanted.strip()).contains(version, prereleases=True):
                return "version " + version + " is installed, the requirements ask for " + wanted.strip(), None
        except Exception:
            pass  # no library for it, or not a specifier: pip was the judge
        return None, None

    def modules(dist):
        """Names to import: the top-level packages and modules, private ones left out."""
        suffixes = sorted(importlib.machinery.all_suffixes(), key=len, reverse=True)
        packages, loose = set(), set()
        for file in dist.files or ():
            parts = file.parts
            suffix = next((s for s in suffixes if parts[-1].endswith(s)), None)
            if suffix is None or ".." in parts or file.is_absolute():
                continue
            stem = parts[-1][: -len(suffix)]
            path = parts[:-1] if stem == "__init__" else parts[:-1] + (stem,)
            if path and len(path) <= 5 and all(p.isidentifier() for p in path):
                (packages if stem == "__init__" else loose).add(path)
        tops = {p for p in packages | loose if len(p) == 1}
        if not tops:
            # Only a namespace that distributions share, as in google.cloud.x.
            tops = {p for p in packages if not any(p[:n] in packages for n in range(1, len(p)))}
            tops = tops or {p[:1] for p in loose}
        names = sorted(".".join(p) for p in tops)
        if not names:
            # An editable install, or one by the system's package manager.
            names = (dist.read_text("top_level.txt") or "").split()
        if not names:
            guess = (dist.metadata["Name"] or "").replace("-", "_").replace(".", "_")
            names = [g for g in dict.fromkeys([guess, guess.lower()]) if g.isidentifier() and importlib.util.find_spec(g)]
        public = [n for n in names if not n.startswith("_")]
        # Tests and documents that a package installs beside itself by mistake.
        stray = {"tests", "test", "docs", "doc", "examples", "example", "benchmarks", "scripts", "setup", "conftest"}
        return [n for n in public if n not in stray] or public

    args = json.loads(base64.b64decode(encoded))
    spec = args.get("spec") or ""
    _, unwanted = requirement(spec, "")
    if unwanted:
        return Report(version="", modules=[], note=unwanted, problem="")
    # A kernel that was running when a package came would not see it.
    importlib.invalidate_caches()
    try:
        dist = find(args["name"])
    except metadata.PackageNotFoundError:
        return Report(version="", modules=[], note="", problem=args["name"] + " is not installed")
    version = dist.version or ""
    problem, _ = requirement(spec, version)
    names = modules(dist)
    for name in names if not problem else ():
        try:
            importlib.import_module(name)
        except SystemExit as e:
            raise ImportError("module " + name + " ended the program when it was imported: exit " + repr(e.code)) from e
    note = "" if names else "data or commands only, nothing to import"
    return Report(version=version, modules=names, note=note, problem=problem or "")
