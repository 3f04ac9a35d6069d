package packages

import (
	"testing"
)

func TestDockerfile(t *testing.T) {
	context := map[string]string{
		"image/apt.txt":          "vim\nless\n",
		"image/requirements.txt": "numpy==1.26.4\n-r infra.txt\n",
		"image/infra.txt":        "jupyterhub==5.0.0\n",
		"image/environment.yml":  "dependencies: [scipy==1.11.1, {pip: [-r /tmp/infra.txt]}]",
		"image/specs.txt":        "# platform\ntk=8.6\n",
		"image/r/class.R":        "install.packages('sf')\n",
		"image/setup.bash":       "apt-get install -y tini\n",
		"image/tool":             "#!/usr/bin/env python3\npip install no\n",
	}
	for name, tc := range map[string]struct{ text, want, problems string }{
		"apt": {text: `FROM debian
RUN apt-get -qq update --yes && \
    apt-get -qq install --yes --no-install-recommends -t stable \
        # the hub
        git=1:2.39* \

        curl:amd64 python3- ./x.deb /tmp/y.deb > /dev/null && \
    rm -rf /var/lib/apt/lists/*`, want: `
apt git =1:2.39*@Dockerfile:5
apt curl:amd64 @Dockerfile:7`},
		"apt list": {text: `FROM debian
COPY apt.txt /tmp/list
RUN apt-get install $(grep -v ^# /tmp/list)
RUN xargs -a /nowhere/apt.txt apt-get install -y && cat /tmp/other | xargs apt install -y && sudo apt-get install $(echo a1 b1)`, want: `
apt vim @apt.txt:1
apt less @apt.txt:2
apt a1 @Dockerfile:4
apt b1 @Dockerfile:4`},
		"pip": {text: `FROM python
ARG HUB=4.0
ENV EXTRA="a==1 b" QUOTED='c d' DIR=/srv
RUN --mount=type=cache,target=/root/.cache \
    /opt/conda/bin/pip3.11 --quiet install -U --no-cache-dir "jupyterhub==${HUB}" 'x>=1,<2' $EXTRA y==${UNKNOWN} && \
    python3 -m pip install -qr ${DIR}/requirements.txt --index-url https://user:pass@example.org
RUN ["pip", "install", "json==1"]
RUN uv pip install --python /venv/bin/python fast==0.1; pip uninstall old; pip list
RUN pip install -e git+https://tok@git.example.org/a/b.git@v1.2#egg=bee . ".[dev]" ./local $LIST`, want: `
pip jupyterhub ==4.0@Dockerfile:5
pip x >=1,<2@Dockerfile:5
pip a ==1@Dockerfile:5
pip b @Dockerfile:5
pip y ==${UNKNOWN}@Dockerfile:5
pip numpy ==1.26.4@requirements.txt:1
pip jupyterhub ==5.0.0@infra.txt:1
pip json ==1@Dockerfile:7
pip fast ==0.1@Dockerfile:8
pip bee @ git+https://git.example.org/a/b.git@v1.2#egg=bee@Dockerfile:9`, problems: `
notice Dockerfile:9 what $LIST installs is not known before the build
warning infra.txt:1 jupyterhub is listed twice: ==5.0.0 here, ==4.0 in image/Dockerfile`},
		"conda": {text: `FROM base
WORKDIR /tmp
COPY . .
RUN conda install -yq -c conda-forge -n base python=3.11 'numpy>=1,<2' && mamba env update -p ${CONDA_DIR} -f environment.yml && mamba clean -afy
RUN conda create -n gpu --file specs.txt tensorflow==2.15.0
RUN conda run -n gpu pip install keras==3 && micromamba install conda-forge::tree=2`, want: `
conda python =3.11@Dockerfile:4
conda numpy >=1,<2@Dockerfile:4
conda scipy ==1.11.1@environment.yml:1
pip jupyterhub ==5.0.0@infra.txt:1
conda tk =8.6@specs.txt:2
conda tensorflow ==2.15.0@Dockerfile:5
pip keras ==3@Dockerfile:6
conda tree =2[channel=conda-forge]@Dockerfile:6`},
		"R": {text: `FROM rocker/r-ver
COPY r/ /tmp/r/
RUN R --quiet -e "install.packages('IRkernel', quiet = TRUE)" && \
    Rscript -e 'remotes::install_version("plm", "2.4-1")' -e "library(plm)"
RUN echo "/usr/bin/r /tmp/r/class.R" | /usr/bin/time -f "User\t%U" /usr/bin/bash
RUN install2.r --error -n 2 -r https://cran.example.org \
    ## models
    caret \
    torch && installGithub.r rstudio/shiny@v1.8.0
RUN R --no-save <<EOF
install.packages(c("one",
  "two"))
EOF`, want: `
r IRkernel @Dockerfile:3
r plm ==2.4-1@Dockerfile:4
r sf @r/class.R:1
r caret @Dockerfile:8
r torch @Dockerfile:9
r shiny @ github::rstudio/shiny@v1.8.0@Dockerfile:9
r one @Dockerfile:11
r two @Dockerfile:12`},
		"heredocs": {text: `FROM x
RUN <<EOF
set -e
apt-get install -y \
  jq
EOF
COPY <<REQ /srv/req.txt
flask==3.0.0
bad one
REQ
RUN <<'EOF'
#!/usr/bin/env Rscript
install.packages("here")
EOF
RUN pip install -r /srv/req.txt`, want: `
apt jq @Dockerfile:5
r here @Dockerfile:13
pip flask ==3.0.0@Dockerfile:8`, problems: `error Dockerfile:9 "bad one" is not a requirement`},
		"scripts": {text: `FROM x
COPY *.bash tool /usr/local/bin/
RUN setup.bash && tool && bash -euxc "pip install inner==1 || true"
RUN if [ "$A" = 1 ]; then pip install yes==1; else pip install no==1; fi; for p in k l; do pip install $p==2; done
RUN install() { apt-get install -y "$@"; } && install m1 n1
RUN pkgs=(o==1 p==2); pip install "${pkgs[@]}"; V=3; pip install q==${V} r1==${W:-4}`, want: `
apt tini @setup.bash:1
pip inner ==1@Dockerfile:3
pip yes ==1@Dockerfile:4
pip no ==1@Dockerfile:4
pip k ==2@Dockerfile:4
pip l ==2@Dockerfile:4
apt m1 @Dockerfile:5
apt n1 @Dockerfile:5
pip o ==1@Dockerfile:6
pip p ==2@Dockerfile:6
pip q ==3@Dockerfile:6
pip r1 ==4@Dockerfile:6`},
		"stages": {text: `ARG V=1.0
FROM x AS one
ARG V
RUN pip install a==$V
FROM y
RUN pip install a==2.0 b==$V
FROM one
RUN pip install c==$V`, want: `
pip a ==1.0@Dockerfile:4
pip a ==2.0@Dockerfile:6
pip b ==$V@Dockerfile:6
pip c ==1.0@Dockerfile:8`},
		"unknown": {text: `FROM x
RUN pip install ${PACKAGES} -r elsewhere.txt $(curl example.org)
RUN pip install 'a b'; apt-get install Q_; conda install 'x=>1'; install2.r 'a b'
RUN echo $((
RUN true`, problems: `
notice Dockerfile:2 what ${PACKAGES} installs is not known before the build
notice Dockerfile:2 elsewhere.txt is not in the image's folder: what it installs is not known before the build
notice Dockerfile:2 what $(curl example.org) installs is not known before the build
warning Dockerfile:3 "a b" is not a requirement
warning Dockerfile:3 "Q_" is not the name of a Debian package
warning Dockerfile:3 "x=>1" is not a conda package
warning Dockerfile:3 "a b" is not the name of an R package
warning Dockerfile:4 the shell commands cannot be read: ` + "`$((` must be followed by an expression"},
		"not one":    {text: "FROM x\nRUN <<EOF\nnever ends", problems: "error Dockerfile:2 not a Dockerfile: unterminated heredoc"},
		"empty":      {text: "\n", problems: "error Dockerfile:1 not a Dockerfile: file with no instructions"},
		"bind mount": {text: "FROM x\nRUN --mount=type=bind,source=infra.txt,target=/req \\\n  pip install -r /req", want: "pip jupyterhub ==5.0.0@infra.txt:1"},
		"onbuild":    {text: "FROM x\nONBUILD RUN pip install later\nCOPY --from=0 apt.txt /tmp/z\nADD https://example.org/a /tmp/"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := files(context)
			tree["image/Dockerfile"] = files(map[string]string{"f": tc.text})["f"]
			check(t, tree, "image/Dockerfile", tc.want, tc.problems)
		})
	}
	_, problems := Image(files(nil), "image", "image/Dockerfile")
	if got := toldProblems(problems); got != "error Dockerfile:0 image/Dockerfile does not exist" || problems[0].Hint == "" {
		t.Errorf("missing: %s", got)
	}
}
